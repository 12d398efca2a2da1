from __future__ import annotations

from pathlib import Path

import click
import pytest

from specdsl.cli.train import command
from specdsl.cli.training_options import settings_of
from specdsl.errors import SpecSettingError
from specdsl.runtime.settings import TrainSettings

OPTIONS = {option.name: option for option in command.params if isinstance(option, click.Option)}


@pytest.mark.parametrize("name", TrainSettings.model_fields)
def test_every_setting_is_an_option_with_its_description(name: str) -> None:
    option, setting = OPTIONS[name], TrainSettings.model_fields[name]
    is_on = setting.default is True
    assert option.opts == [f"--{'no-' if is_on else ''}{name.replace('_', '-')}"]
    assert (option.help or "").lower().startswith(str(setting.description).lower())


def test_what_is_on_already_can_only_be_turned_off() -> None:
    assert (OPTIONS["events"].opts, OPTIONS["events"].secondary_opts) == (["--no-events"], [])
    assert settings_of(None, {"events": False}).events is False


def test_options_have_the_settings_types() -> None:
    assert OPTIONS["epochs"].type is click.FLOAT
    assert OPTIONS["batch_size"].type is click.INT
    assert OPTIONS["bf16"].is_flag
    assert OPTIONS["bf16"].secondary_opts == ["--no-bf16"]
    assert isinstance(OPTIONS["task"].type, click.Choice)


def test_what_is_not_given_keeps_its_default() -> None:
    given = dict.fromkeys(TrainSettings.model_fields)
    assert settings_of(None, given) == TrainSettings()


def test_columns_are_separated_by_commas() -> None:
    assert settings_of(None, {"text_columns": "premise, hypothesis"}).text_columns == ("premise", "hypothesis")


def test_an_option_overrules_a_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("lr = 0.5\nbf16 = true\nseed = 3\n")
    settings = settings_of(file, {"lr": 0.25, "bf16": False, "seed": None})
    assert (settings.lr, settings.bf16, settings.seed) == (0.25, False, 3)


def test_an_impossible_value_is_refused() -> None:
    with pytest.raises(SpecSettingError, match="`epochs` should be greater than 0"):
        settings_of(None, {"epochs": -1.0})
