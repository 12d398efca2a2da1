"""The conformance suite: what has to hold of every spec in every layer type, measured on small layers.

`specdsl conform` runs it on any spec, and the tests on every method of the library.
"""
