"""Methods of the library for tests of what all have in common, not of the methods themselves."""

ORDINARY = [
    "beft", "bitfit", "dora", "flora", "full", "houlsby", "hydra", "ia3", "lora", "mpc_d", "mpc_n", "mpc_o",
    "parallel_adapter", "pfeiffer", "pissa", "rslora", "sam_parser", "spectral_adapter", "ssb", "ssl", "svdiff",
    "trilora", "vera",
]  # fmt: skip
"""A linear layer of any size takes them as they are, from data and events it needs nothing."""
