from __future__ import annotations

import json
import re
import signal
import threading
import time
from pathlib import Path

import pytest

from specdsl.runtime.adapter_record import read
from tests.cli.conftest import Run

ROWS = ["a good film,yes", "the plot was bad,no", "good good,yes", "bad film,no"]
QUICK = ("--epochs", "2", "--lr", "0.01", "--batch-size", "8", "--device", "cpu")


@pytest.fixture
def reviews(tmp_path: Path) -> str:
    (tmp_path / "reviews.csv").write_text("\n".join(["text,label", *ROWS * 10]) + "\n")
    return "reviews.csv"


def test_it_trains_saves_and_tells(run: Run, tmp_path: Path, tiny_bert: Path, reviews: str) -> None:
    result = run("train", "W + A@G@B | orth(A)", "--model", str(tiny_bert), "--data", reviews, "--set", "r=2", *QUICK)
    assert result.exit_code == 0
    logged = [line.split(": ")[0] for line in result.stderr.splitlines()]
    assert logged == ["step 1 of 10", "step 10 of 10"]
    lines = result.stdout.splitlines()
    trainable = 2 * (4 * 2 * (32 + 32) + 2 * 2 * (32 + 48) + 6 * 2 * 2)
    assert lines[0] == "classification of text by label: no, yes"
    assert lines[1].startswith(f"{trainable:,} trainable parameters, ")
    assert lines[1].endswith(", and 66 in modules trained whole")
    assert lines[2].startswith("trained on 36 examples in ")
    assert lines[2].endswith(" s, evaluated on 4 others")
    assert lines[3].split() == ["before", "after", "baseline"]
    assert [line.split()[0] for line in lines[4:7]] == ["accuracy", "f1", "loss"]
    assert lines[7].split()[0] == "orth(A)"
    assert lines[8] == "saved in adapter"
    assert (tmp_path / "adapter" / "adapter.json").is_file()


def test_json_has_the_same_numbers(run: Run, tiny_bert: Path, reviews: str) -> None:
    result = run("train", "lora", "--model", str(tiny_bert), "--data", reviews, *QUICK, "--json", "--output", "out")
    found = json.loads(result.stdout)
    assert found["examples"] == {"trained": 36, "evaluated": 4}
    assert found["folder"] == "out"
    written = json.loads(Path("out/metrics.json").read_text())
    assert {name: found[name] for name in written} == written
    assert found["before"].keys() == found["after"].keys() == {"accuracy", "f1", "loss"}
    assert found["head_parameters"] == 66
    assert found["task"]["classes"] == ["no", "yes"]


def test_settings_come_from_a_file_and_options_overrule_it(
    run: Run, tmp_path: Path, tiny_bert: Path, reviews: str
) -> None:
    (tmp_path / "settings.yaml").write_text("output: from-file\nepochs: 1\nlr: 1e-2\nlimit: 8\ndevice: cpu\n")
    arguments = ("train", "lora", "--model", str(tiny_bert), "--data", reviews, "--config", "settings.yaml", "--json")
    found = json.loads(run(*arguments, "--limit", "12").stdout)
    assert (found["examples"]["trained"], found["folder"]) == (12, "from-file")


def test_placement_and_index_values_reach_the_adapter(run: Run, tiny_bert: Path, reviews: str) -> None:
    spec = "index I : r | W + scatter(v, I, n, m) | v : r ~ zeros"
    placed = ("--on", "attention.query", "--layers", "1", "--set", "I=[2,0,1]", "--train", "norm")
    result = run("train", spec, "--model", str(tiny_bert), "--data", reviews, *QUICK, *placed)
    assert result.exit_code == 0
    record, _ = read("adapter")
    assert [target.name for target in record.targets] == ["bert.encoder.layer.1.attention.self.query"]
    assert record.indices == {"I": [2, 0, 1]}
    assert len(record.trained_whole) == 1 + 5


def test_an_adapter_is_replaced_only_on_demand(run: Run, tiny_bert: Path, reviews: str) -> None:
    arguments = ("train", "lora", "--model", str(tiny_bert), "--data", reviews, *QUICK)
    assert run(*arguments).exit_code == 0
    refused = run(*arguments)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr == (
        "`adapter` holds an adapter already\n  hint: choose another output, or say `--overwrite`\n"
    )
    assert run(*arguments, "--overwrite").exit_code == 0


def test_a_saved_adapter_is_evaluated_from_its_folder(run: Run, tiny_bert: Path, reviews: str) -> None:
    trained = json.loads(run("train", "lora", "--model", str(tiny_bert), "--data", reviews, *QUICK, "--json").stdout)
    found = json.loads(run("eval", "adapter", "--data", reviews, "--device", "cpu", "--json").stdout)
    assert found["metrics"] == pytest.approx(trained["after"])
    assert (found["examples"], found["held_out"]) == (4, True)
    shown = run("eval", "adapter", "--data", reviews, "--device", "cpu").stdout.splitlines()
    assert shown[0] == "classification of text by label: no, yes"
    assert shown[1].split() == ["accuracy", f"{trained['after']['accuracy']:.4f}"]
    assert shown[-1] == "on 4 examples held out in training"


def test_ctrl_c_tells_how_to_go_on_and_the_run_does(run: Run, tmp_path: Path, tiny_bert: Path, reviews: str) -> None:
    arguments = ("train", "lora", "--model", str(tiny_bert), "--data", reviews, "--device", "cpu", "--max-steps", "60")
    arguments = (*arguments, "--save-every", "1", "--log-every", "60")
    first = tmp_path / "adapter.checkpoints" / "checkpoint-1" / "trainer_state.json"

    def press() -> None:
        while not first.exists():
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    stopped = run(*arguments)
    step = re.search(r"^interrupted; go on from step (\d+) with --resume$", stopped.stderr, re.MULTILINE)
    assert step is not None
    assert stopped.exit_code == 130
    refused = run(*arguments)
    hint = "  hint: `--resume` goes on with it; remove the folder to start anew"
    assert refused.stderr.splitlines() == ["`adapter.checkpoints` holds a run that was interrupted", hint]
    resumed = run(*arguments, "--resume")
    assert (resumed.exit_code, resumed.stderr.splitlines()[0]) == (0, f"going on from step {step[1]}")


def test_a_wrong_spec_ends_before_anything_is_loaded(run: Run, tmp_path: Path) -> None:
    result = run("train", "W + alhpa*A@B", "--model", "nowhere", "--data", "nowhere.csv")
    assert result.exit_code == 2
    assert result.stderr.startswith("<spec>:1:5: `alhpa` is not declared\n")
    assert list(tmp_path.iterdir()) == []


def test_another_model_is_loaded_for_evaluation(run: Run, tiny_bert: Path, reviews: str, tmp_path: Path) -> None:
    run("train", "lora", "--model", str(tiny_bert), "--data", reviews, *QUICK)
    moved = tmp_path / "moved"
    moved.symlink_to(tiny_bert)
    assert run("eval", "adapter", "--data", reviews, "--model", str(moved), "--device", "cpu").exit_code == 0
