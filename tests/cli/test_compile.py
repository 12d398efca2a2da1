from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import specdsl
from specdsl.runtime.architectures import known_names
from tests.cli.conftest import Run
from tests.cli.test_root import ENVIRONMENT

# The decomposition paper's methods on its six linear maps per layer, L*r*18d and what each adds (d = 768, L = 12);
# tests/library/test_counts.py has the methods of the library.
LORA = {2: 331_776, 4: 663_552, 8: 1_327_104, 16: 2_654_208}
FLORA = {2: 332_064, 4: 664_704, 8: 1_331_712, 16: 2_672_640}
DORA = {2: 414_720, 4: 746_496, 8: 1_410_048, 16: 2_737_152}
COUNTS = {
    "W + A@B": LORA,
    "W + A@G@B | orth(A)": FLORA,
    "V = W + A@B | g ~ colnorm(V) | W' = V @ diag(g ./ stop(colnorm(V)))": DORA,
}


@pytest.mark.parametrize("model", ["roberta-base", "deberta-v3-base"])
@pytest.mark.parametrize("spec", COUNTS)
def test_counts_are_those_of_the_paper(spec: str, model: str, run: Run) -> None:
    for r, count in COUNTS[spec].items():
        found = json.loads(run("compile", spec, "--model", model, "--set", f"r={r}", "--json").stdout)
        assert found["trainable_parameters"] == count
        assert sum(row["trainable"] for row in found["modules"]) == count


def test_the_table_says_it_all(run: Run) -> None:
    result = run("compile", "W + A@G@B | orth(A)", "--model", "deberta-v3-base", "--set", "r=8")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert lines[0] == "W + A@G@B | orth(A) on deberta-v3-base: 72 modules"
    assert lines[2] == "module role n x m factors trained plan cost saved"
    rows = [line for line in lines if "y' = " in line]
    assert len(rows) == 6
    assert rows[4].startswith(
        "encoder.layer.{0..11}.intermediate.dense mlp.up 768 x 3072 A 768 x 8, G 8 x 8, B 8 x 3072 369,408 "
        "y' = y + x@A@G@B +"
    )
    assert lines[lines.index("penalties") + 1] == "orth(A), over 72 modules"
    assert "rank W' - W has rank at most r = 8" in lines
    assert "embeddings.word_embeddings embedding, not adapted by default" in lines
    assert "encoder.layer.{0..11}.output.LayerNorm norm, not adapted by default" in lines
    assert "`deberta-v3-base` is its architecture alone, without weights" in lines
    assert lines[-1] == "1,331,712 trainable parameters, 0.724 % of 183,831,552"
    assert result.stderr == ""


def test_a_pipe_gets_no_trailing_spaces_and_whole_rows(run: Run) -> None:
    shown = run("compile", "lora", "--model", "llama-2-7b").stdout.splitlines()
    assert all(line == line.rstrip() for line in shown)
    assert sum("y' = " in line for line in shown) == 7


def test_json_has_a_row_for_every_module(run: Run) -> None:
    found = json.loads(run("compile", "W + A@G@B | orth(A)", "--model", "deberta-v3-base", "--json").stdout)
    assert found["trainable_parameters"] == 1_331_712
    assert (found["head_parameters"], found["base_parameters"]) == (0, 183_831_552)
    assert len(found["modules"]) == 72
    first = found["modules"][0]
    assert first["name"] == "encoder.layer.0.attention.self.query_proj"
    assert (first["role"], first["n"], first["m"]) == ("attention.query", 768, 768)
    assert first["trainable"] == 8 * (768 + 768) + 8 * 8
    assert first["plan"]["order"] == "y + x@A@G@B"
    assert found["penalties"] == [{"text": "orth(A)", "modules": 72}]
    assert found["facts"] == json.loads(json.dumps(specdsl.parse("W + A@G@B | orth(A)").facts.as_dict()))
    assert "without weights" in found["notes"][0]
    assert {"name": "embeddings.LayerNorm", "why": "norm, not adapted by default"} in found["not_adapted"]


def test_a_shared_factor_is_counted_in_its_first_module(run: Run) -> None:
    spec = "shared A : max(layers(n)) x r | W + A[:n, :]@B"
    rows = json.loads(run("compile", spec, "--model", "roberta-base", "--json").stdout)["modules"]
    assert rows[0]["trainable"] == 3072 * 8 + 8 * 768
    assert rows[1]["trainable"] == 8 * 768
    assert sum(row["trainable"] for row in rows) == 3072 * 8 + 8 * 12 * (5 * 768 + 3072)


def test_placement_replaces_that_of_the_spec(run: Run) -> None:
    spec = "W + A@B | on mlp"
    arguments = ("--on", "attention.query,attention.value", "--layers", "0..2,11", "--except", "re:.*[.]0[.].*")
    rows = json.loads(run("compile", spec, "--model", "roberta-base", *arguments, "--json").stdout)["modules"]
    assert [row["name"].removeprefix("encoder.layer.") for row in rows] == [
        f"{layer}.attention.self.{part}" for layer in (1, 2, 11) for part in ("query", "value")
    ]


def test_a_task_gives_the_model_a_head_to_train(run: Run) -> None:
    arguments = ("--model", "roberta-base", "--task", "classification", "--num-labels", "3", "--train", "head")
    found = json.loads(run("compile", "lora", *arguments, "--json").stdout)
    assert found["head_parameters"] == 768 * 768 + 768 + 3 * 768 + 3
    assert found["trainable_parameters"] == LORA[8]
    assert "and 592,899 in modules trained whole" in run("compile", "lora", *arguments).stdout


def test_code_is_printed_alone(run: Run) -> None:
    result = run("compile", "W + A@G@B", "--model", "roberta-base", "--emit", "torch", "--set", "r=4")
    assert result.exit_code == 0
    compile(result.stdout, "emitted", "exec")
    assert "import specdsl" not in result.stdout
    assert "from specdsl" not in result.stdout
    assert "nn.Linear" in result.stdout


@pytest.mark.parametrize("model", known_names())
def test_every_well_known_name_compiles_without_a_network(model: str, run: Run, tmp_path: Path) -> None:
    found = json.loads(run("compile", "W + A@B", "--model", model, "--json").stdout)
    assert found["trainable_parameters"] == sum(8 * (row["n"] + row["m"]) for row in found["modules"]) > 0
    assert list(tmp_path.iterdir()) == []


def test_what_is_stored_beside_factors_is_told(run: Run) -> None:
    words = ("compile", "vera", "--model", "bert-base", "--on", "attention.query", "--set", "r=4")
    stored = 4 * 4 * (768 + 768)  # one pair of frozen matrices for all layers
    found = json.loads(run(*words, "--json").stdout)
    assert found["stored_bytes"] == stored
    assert [row["stored_bytes"] for row in found["modules"]] == [stored] + 11 * [0]
    table = run(*words).stdout
    assert "24.6 kB of memory for frozen factors and values computed once" in table
    assert " memory\n" in table
    assert "trained and memory are sums over the modules of a row" in table
    assert " 24.6 kB\n" in table


def test_a_large_model_takes_a_few_hundred_megabytes(tmp_path: Path) -> None:
    script = (
        "import resource, sys; from specdsl.cli import main\n"
        "try: main(['compile', 'W + A@B', '--model', 'llama-2-7b'])\n"
        "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\n"
    )
    # A process counts as large as the one that started it was, so a small one starts it.
    start = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', sys.argv[1]]))"
    ended = subprocess.run(
        [sys.executable, "-c", start, script], env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    megabytes = int(ended.stderr) / (1024 if sys.platform == "linux" else 1024**2)
    assert ended.stdout.endswith("19,988,480 trainable parameters, 0.297 % of 6,738,415,616\n")
    assert megabytes < 1000
