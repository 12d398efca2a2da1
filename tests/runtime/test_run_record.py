from __future__ import annotations

from pathlib import Path

import pytest

from specdsl.errors import SpecCheckpointError, SpecFileError
from specdsl.runtime.adapter_record import RECORD as ADAPTER_FILE
from specdsl.runtime.run_record import FREE, RunRecord, checkpoint_folder, find_checkpoint, last_checkpoint
from specdsl.runtime.settings import TrainSettings

RUN = RunRecord.of(TrainSettings(), spec="W + A@B")


def interrupted(output: Path, *steps: int, run: RunRecord = RUN) -> None:
    """What a run leaves that was interrupted after its checkpoints at `steps`."""
    folder = checkpoint_folder(output)
    run.write(folder)
    for step in steps:
        (folder / f"checkpoint-{step}").mkdir()
        (folder / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")


def test_a_fresh_output_has_no_checkpoint(tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path / "out", RUN, resume=False) is None


def test_the_run_goes_on_from_its_last_whole_checkpoint(tmp_path: Path) -> None:
    output = tmp_path / "out"
    interrupted(output, 9, 10)
    (checkpoint_folder(output) / "checkpoint-11").mkdir()
    assert find_checkpoint(output, RUN, resume=True) == checkpoint_folder(output) / "checkpoint-10"


def test_an_interrupted_run_is_not_overwritten(tmp_path: Path) -> None:
    interrupted(tmp_path / "out", 5)
    with pytest.raises(SpecFileError, match="holds a run that was interrupted"):
        find_checkpoint(tmp_path / "out", RUN, resume=False)
    assert last_checkpoint(checkpoint_folder(tmp_path / "out")) is not None


def test_a_run_that_ended_before_its_first_checkpoint_is_forgotten(tmp_path: Path) -> None:
    interrupted(tmp_path / "out")
    assert find_checkpoint(tmp_path / "out", RUN, resume=False) is None
    assert not checkpoint_folder(tmp_path / "out").exists()


def test_there_must_be_something_to_go_on_from(tmp_path: Path) -> None:
    with pytest.raises(SpecFileError, match="there is no checkpoint in"):
        find_checkpoint(tmp_path / "out", RUN, resume=True)


@pytest.mark.parametrize(
    ("other", "message", "hint"),
    [
        (RunRecord.of(TrainSettings(lr=0.5), spec="W + A@B"), r"had lr = 0\.5, not 0\.0005", None),
        (RunRecord.of(TrainSettings(), spec="W + D"), r"had spec = W \+ D, not W \+ A@B", None),
        (RunRecord.of(TrainSettings(lr=0.5, seed=3), spec="W + A@B"), "had lr", "also different: seed"),
    ],
)
def test_only_the_same_run_goes_on(tmp_path: Path, other: RunRecord, message: str, hint: str | None) -> None:
    interrupted(tmp_path / "out", 5, run=other)
    with pytest.raises(SpecCheckpointError, match=message) as caught:
        find_checkpoint(tmp_path / "out", RUN, resume=True)
    assert caught.value.hint == hint


def test_settings_that_change_no_number_may_differ() -> None:
    settings = TrainSettings(
        output="x", overwrite=True, resume=True, device="cpu", log_every=1, keep_checkpoints=True, eval_batch_size=1
    )
    assert settings.model_fields_set == FREE
    assert RunRecord.of(settings, spec="W + A@B") == RUN


@pytest.mark.parametrize("name", ["holiday.jpg", "model.safetensors"])
def test_a_folder_that_is_no_adapter_is_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(SpecFileError, match="is there already and is no adapter"):
        find_checkpoint(tmp_path, RUN, resume=False)


def test_an_empty_folder_may_be_replaced(tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path, RUN, resume=False) is None


def test_an_adapter_is_replaced_only_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ADAPTER_FILE).write_text("{}")
    with pytest.raises(SpecFileError, match=r"`.*out` holds an adapter already") as caught:
        find_checkpoint(tmp_path / "out", RUN, resume=False)
    assert caught.value.hint == "choose another output, or say `overwrite=True`"
    assert find_checkpoint(tmp_path / "out", RUN, resume=False, overwrite=True) is None
    interrupted(tmp_path / "out", 5)
    assert find_checkpoint(tmp_path / "out", RUN, resume=True) is not None


def test_overwriting_an_adapter_forgets_no_interrupted_run(tmp_path: Path) -> None:
    interrupted(tmp_path / "out", 5)
    with pytest.raises(SpecFileError, match="holds a run that was interrupted"):
        find_checkpoint(tmp_path / "out", RUN, resume=False, overwrite=True)
