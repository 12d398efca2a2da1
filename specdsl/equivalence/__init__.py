"""Whether two specs are the same: pointwise, as reachable sets, at the start; proved, refuted, supported or unknown."""
