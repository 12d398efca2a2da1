"""Adapters of other libraries: which spec each of their methods is, and their tensors as its factors."""
