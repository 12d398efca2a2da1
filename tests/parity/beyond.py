"""What is compared besides the layer, and what has no complete public reference, in words for the page."""

from __future__ import annotations

TRAINING: list[tuple[str, ...]] = [
    ("`alora`", "PEFT `LoraConfig`", "outputs, by token, after the invocation sequence of each row", ""),
    ("`lora_plus`", "PEFT `create_loraplus_optimizer`", "the learning rate of every factor", ""),
    ("`lora_fa`", "PEFT `LoraFAOptimizer`", "the gradient of B that enters the moments", ""),
    ("`riemannian`", "PEFT `create_riemannian_optimizer`", "both gradients as they enter the step",
     "PEFT's `reg` is 1e-2 unless it is set"),
    ("`adalora`", "PEFT `AdaLoraModel`", "the penalty over two layers, as it is added to the loss", ""),
    ("`corda`", "PEFT `preprocess_corda`", "the product of the starts, both ways, from one covariance",
     "PEFT scales by alpha/r and divides the starts by it"),
    ("`lora_ga`", "PEFT `preprocess_loraga`", "the directions of both starts, from one gradient",
     "PEFT scales B alone, by its singular values too"),
]  # fmt: skip
"""Spec, reference, what is compared, where they differ: each has a test of its name in `test_beyond.py`."""

ELSEWHERE = """\
Every weight-space method of PEFT has a public reference there but for parts of these. `loftq`: PEFT's needs a
quantiser of NF4, so the spec, whose levels are even, is held to its formula in numpy.
`eva`: the layer is that of LoRA, which is compared; its start, the principal components of data, is held to numpy.
`lora_ga`: directions are compared, scales are held to numpy. LyCORIS's `boft` joins other blocks than the paper's
authors from the third factor on and is not compared. Events that change factors while training (AdaLoRA's ranks,
COFT's ball) are compared where the table below says so, and otherwise held to their formulas. Of what adds rows to the
tokens, `cartridge` is not compared, as its start, what a text leaves in the cache, cannot be measured yet; its formula
is that of `prefix_tuning` with the first rows stopped, and held to numpy. PEFT has no DistilBERT with prefixes."""
