"""Specs as drawings: matrices in proportion to their shapes, on a terminal as a tree."""
