from __future__ import annotations

import re
from pathlib import Path

import pytest

from specdsl.errors import SpecErrors, SpecFileError, SpecSettingError
from specdsl.runtime.settings import LARGEST_FILE, NAMES_ELSEWHERE, TrainSettings


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.yaml", "lr: 1e-3\nbatch-size: 8\ntext_columns: [a, b]\nbf16: true\n"),
        ("run.toml", 'lr = 1e-3\nbatch_size = 8\ntext_columns = ["a", "b"]\nbf16 = true\n'),
    ],
)
def test_yaml_and_toml_give_the_same_settings(tmp_path: Path, name: str, text: str) -> None:
    settings = TrainSettings.from_file(write(tmp_path, name, text))
    assert settings == TrainSettings(lr=0.001, batch_size=8, text_columns=("a", "b"), bf16=True)


def test_an_override_has_the_last_word_unless_it_is_none(tmp_path: Path) -> None:
    path = write(tmp_path, "run.yml", "lr: 0.5\nepochs: 2\n")
    settings = TrainSettings.from_file(path, lr=0.25, epochs=None)
    assert (settings.lr, settings.epochs) == (0.25, 2.0)


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert TrainSettings.from_file(write(tmp_path, "run.yaml", "# nothing yet\n")) == TrainSettings()


def test_values_that_are_none_keep_their_default() -> None:
    assert TrainSettings.of({"lr": None, "seed": 3}) == TrainSettings(seed=3)


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        ({"lr": -1}, "`lr` should be greater than 0, not -1", None),
        ({"lr": float("nan")}, "`lr` should be a finite number, not nan", None),
        ({"batch_size": 0}, "`batch_size` should be greater than or equal to 1, not 0", None),
        ({"batch_size": "8"}, "`batch_size` should be a valid integer, not '8'", None),
        ({"bf16": 1}, "`bf16` should be a valid boolean, not 1", None),
        ({"eval_share": 1.0}, "`eval_share` should be less than 1, not 1.0", None),
        (
            {"device": "cuds"},
            "`device` should be 'auto', 'cuda', 'mps' or 'cpu', not 'cuds'",
            "did you mean `cuda`?",
        ),
        ({"epoch": 1}, "there is no setting `epoch`", "did you mean `epochs`?"),
        ({"learning_rate": 1e-3}, "there is no setting `learning_rate`", "it is called `lr` here"),
        ({"zzz": 1}, "there is no setting `zzz`", None),
    ],
)
def test_a_wrong_setting_is_named(values: dict[str, object], message: str, hint: str | None) -> None:
    with pytest.raises(SpecSettingError) as caught:
        TrainSettings(**values)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_several_wrong_settings_are_reported_together() -> None:
    with pytest.raises(SpecErrors) as caught:
        TrainSettings(lr=0, epoch=1, seed=-1)
    assert [error.message.split("`")[1] for error in caught.value.errors] == ["epoch", "lr", "seed"]


def test_every_foreign_name_leads_to_a_setting() -> None:
    assert set(NAMES_ELSEWHERE.values()) <= set(TrainSettings.model_fields)
    assert not set(NAMES_ELSEWHERE) & set(TrainSettings.model_fields)


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in TrainSettings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("run.ini", "lr=1", "unknown kind of settings file `.ini`"),
        ("run.yaml", "- lr\n- 1\n", "are not a list of names and values"),
        ("run.yaml", "lr: [1\n", "cannot be read: while parsing"),
        (
            "run.yaml",
            "lr: !!python/object/apply:os.getcwd []\n",
            "cannot be read: could not determine a constructor",
        ),
        ("run.toml", "lr = \n", "cannot be read: Invalid value"),
        ("run.yaml", "#" * (LARGEST_FILE + 1), "bytes long, more than 65,536"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(SpecFileError, match=re.escape(message)):
        TrainSettings.from_file(write(tmp_path, name, text))


def test_a_missing_file_is_a_file_error(tmp_path: Path) -> None:
    with pytest.raises(SpecFileError, match="No such file"):
        TrainSettings.from_file(tmp_path / "none.yaml")
