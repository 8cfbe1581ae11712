from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trimtab.bootstrap.data_plane import open_data_plane
from trimtab.bootstrap.hooks import load_hook
from trimtab.bootstrap.settings import GatewaySettings, Settings
from trimtab.core.errors import InputError
from trimtab.events import Feedback, decode_event
from trimtab.serving.hot_buffer import read_hot, records_of

if TYPE_CHECKING:
    from pathlib import Path


def test_a_function_is_loaded_from_the_folders_named_and_from_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "privacy_rules.py").write_text("def keep(content):\n    return {}\n")
    assert load_hook("privacy_rules:keep", [str(tmp_path)], setting="gateway.redact")({"output": "x"}) == {}
    with pytest.raises(InputError) as caught:
        load_hook("os:getcwd", [str(tmp_path)], setting="gateway.redact")
    assert (caught.value.code, caught.value.param) == ("hook_not_found", "gateway.redact")


@pytest.mark.parametrize(
    ("reference", "code", "said"),
    [
        ("privacy", "hook_not_found", "module:function"),
        (":keep", "hook_not_found", "module:function"),
        ("absent:keep", "hook_not_found", "in none of the folders"),
        ("half_written:keep", "hook_not_loaded", "cannot be imported"),
        ("without_it:keep", "hook_not_found", "`keep` is no function"),
    ],
)
def test_what_cannot_be_loaded_is_named(tmp_path: Path, reference: str, code: str, said: str) -> None:
    (tmp_path / "half_written.py").write_text("def keep(content:\n")
    (tmp_path / "without_it.py").write_text("keep = 5\n")
    with pytest.raises(InputError) as caught:
        load_hook(reference, [str(tmp_path)], setting="gateway.redact")
    assert caught.value.code == code
    assert said in str(caught.value)


def test_the_data_plane_writes_what_the_hook_of_the_settings_leaves(tmp_path: Path) -> None:
    (tmp_path / "no_names.py").write_text(
        "def keep(content):\n    return {'comment': content['comment'].replace('Ada', '[name]')}\n"
    )
    gateway = GatewaySettings(redact="no_names:keep", redact_path=[str(tmp_path)])
    settings = Settings(directory=str(tmp_path / "data"), gateway=gateway)
    plane = open_data_plane(settings, kind="gateway")
    try:
        event = Feedback(
            id="fb_1",
            at_ms=1,
            feature="f",
            environment="production",
            generation="gen_1",
            name="n",
            value=1,
            comment="Ada",
        )
        assert plane.record(event)
        (half,) = read_hot(settings.data_directory.journals / plane.process_id / "hot.buffer")
        (written,) = [decode_event(record) for record in records_of(half.records)]
        assert isinstance(written, Feedback)
        assert written.comment == "[name]"
    finally:
        plane.close()
