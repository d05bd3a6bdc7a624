"""Pages are compressed where that makes loading faster, where they cross a network, and where room is short."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvproxy.codecs.compression_choice import (
    CompressionChoice,
    LoadingSpeeds,
    choose_compression,
    measure_loading,
)

from kvproxy.codecs.open_codec import CODECS, open_codec
from kvproxy.core.page_form import PageForm

SLOW = LoadingSpeeds(read=0.2e9, decode=2.4e9, ratio=1.55)
FAST = LoadingSpeeds(read=3e9, decode=2.4e9, ratio=1.55)


def test_loading_gets_faster_below_a_read_speed_that_follows_from_the_codec() -> None:
    turning = 2.4e9 * (1 - 1 / 1.55)
    assert LoadingSpeeds(turning * 0.99, 2.4e9, 1.55).faster
    assert not LoadingSpeeds(turning * 1.01, 2.4e9, 1.55).faster
    assert not LoadingSpeeds(1e6, 2.4e9, 1.0).faster


@pytest.mark.parametrize(
    ("setting", "speeds", "objects", "empty", "full"),
    [
        ("off", SLOW, True, False, False),
        ("auto", SLOW, False, True, True),
        ("auto", FAST, False, False, True),
        ("auto", None, False, False, True),
        ("auto", FAST, True, True, True),
        (CODECS[0], None, False, True, True),
    ],
)
def test_a_setting_decides_by_speed_network_and_room(
    setting: str, speeds: LoadingSpeeds | None, objects: bool, empty: bool, full: bool
) -> None:
    choice = choose_compression(setting, speeds, objects=objects)
    assert choice.compress(used=0, size=100) is choice.compress(used=79, size=100) is empty
    assert choice.compress(used=80, size=100) is full


def test_room_alone_does_not_turn_a_named_codec_off() -> None:
    assert CompressionChoice(always=True, when_full=True).compress(used=0, size=0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_speeds_are_measured_and_nothing_is_left_behind(tmp_path: Path, dtype: str) -> None:
    form = PageForm(4, 2, 64, dtype)  # type: ignore[arg-type]  # a parameter
    speeds = measure_loading(open_codec(CODECS[0], form), form, tmp_path)
    assert speeds is not None and speeds.read > 1e6 and speeds.decode > 1e6
    assert 1.1 < speeds.ratio < 1.8
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_measures_nothing(tmp_path: Path) -> None:
    form = PageForm(1, 1, 16, "bfloat16")
    assert measure_loading(open_codec(CODECS[0], form), form, tmp_path / "missing") is None
