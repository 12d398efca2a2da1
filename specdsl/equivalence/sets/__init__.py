"""Reachable sets: parametrisations brought to a common form, containments by certificate, differences by invariants."""
