"""The folder in which the mistakes of `mistakes/*.txt` are made: specs, models, adapters and data, most of them bad."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel

import specdsl

SPECS = {
    "two_mistakes.spec": b"title: Two mistakes\n\nW + alhpa/r * A@B\npenalty orht(A)\n",
    "continued.spec": b"s = 2\nW +\n    s * A@B +\n    s * x@A\n",
    "empty.spec": b"# nothing yet\n",
    "latin.spec": "W + A@B  # Größe\n".encode("latin-1"),
    "large.spec": b"#" * 70_000,
}
DATA = {
    "reviews.csv": "text,label\n" + "good film,yes\nbad film,no\n" * 20,
    "one_class.csv": "text,label\n" + "good film,yes\n" * 20,
    "no_text.csv": "a,b\n1,2\n3,4\n",
    "no_rows.csv": "text,label\n",
    "ids.csv": "text,label\n" + "".join(f"film {i},id{i}\n" for i in range(40)),
    "broken.json": '[{"text": "good film"',
    "elsewhere.yaml": "learning_rate: 0.001\n",
    "slip.yaml": "epohcs: 3\n",
    "text.toml": 'lr = "fast"\n',
    "settings.txt": "lr = 1\n",
}
SMALL = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}


def prepare(folder: Path) -> None:
    """Fill the folder."""
    for name, content in SPECS.items():
        (folder / name).write_bytes(content)
    for name, text in DATA.items():
        (folder / name).write_text(text)
    (folder / "no_specs").mkdir()
    bert = BertModel(BertConfig(**SMALL))
    bert.save_pretrained(folder / "bert")
    gpt2 = GPT2LMHeadModel(
        GPT2Config(vocab_size=60, n_embd=32, n_layer=2, n_head=2, n_positions=40, bos_token_id=1, eos_token_id=1)
    )
    gpt2.save_pretrained(folder / "gpt")
    _adapters(folder, bert, gpt2)


def _adapters(folder: Path, bert: BertModel, gpt2: GPT2LMHeadModel) -> None:
    good = specdsl.attach(bert, "W + A@B", r=2)
    good.save(folder / "adapter")
    good.detach()
    nonlinear = specdsl.attach(bert, "y + relu(x@A)@B", r=2)
    nonlinear.save(folder / "nonlinear")
    nonlinear.detach()
    tied = specdsl.attach(gpt2, "W + A@B", r=2, on="head")
    tied.save(folder / "tied")
    tied.detach()
    infinite = specdsl.attach(bert, "W + A@B", r=2)
    with torch.no_grad():
        next(infinite.parameters()).fill_(torch.inf)
    infinite.save(folder / "infinite")
    infinite.detach()
    _changed(folder, "no_json", record="{")
    _changed(folder, "other_spec", spec="W + A@B@C")
    stored = (folder / "adapter" / "adapter.safetensors").read_bytes()
    _changed(folder, "flipped", tensors=stored[:-1] + bytes([stored[-1] ^ 1]))


def _changed(folder: Path, name: str, *, record: str = "", tensors: bytes = b"", **values: Any) -> None:
    """A copy of the good adapter, damaged."""
    shutil.copytree(folder / "adapter", folder / name)
    path = folder / name / "adapter.json"
    if record or values:
        path.write_text(record or json.dumps(json.loads(path.read_text()) | values))
    if tensors:
        (folder / name / "adapter.safetensors").write_bytes(tensors)
