"""Specs evaluated exactly: over finite fields, over the rationals, and in balls that hold the real value.

The operators' own `value` functions run over these numbers through `ExactArrays`, so there is one table of operators.
What a kind of number cannot say (a root that does not exist, a largest entry in a field) is refused by name.
"""
