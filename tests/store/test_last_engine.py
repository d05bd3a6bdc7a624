from __future__ import annotations

import logging
from pathlib import Path

import pytest

from kvproxy.store.last_engine import FILE, replace_last_engine


def test_the_first_engine_and_the_same_one_again_have_nothing_to_tell(tmp_path: Path) -> None:
    assert replace_last_engine(tmp_path, "f1", {"torch": "2"}) is None
    assert replace_last_engine(tmp_path, "f1", {"torch": "2"}) is None
    assert replace_last_engine(tmp_path, "f1", {"torch": "2", "OMP_DYNAMIC": "true"}) is None


def test_another_engine_is_told_by_what_differs(tmp_path: Path) -> None:
    replace_last_engine(tmp_path, "f1", {"results": "a" * 64, "torch": "2", "MKL_CBWR": "AVX2"})
    told = replace_last_engine(
        tmp_path, "f2", {"results": "b" * 64, "torch": "2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    )
    assert told == (
        "MKL_CBWR: AVX2, now unset; ONEDNN_MAX_CPU_ISA: unset, now AVX2; "
        f"results: {'a' * 16}…, now {'b' * 16}…"
    )
    assert replace_last_engine(tmp_path, "f1", {"torch": "2"}) is not None


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[]", b"{}", b'{"fingerprint": 1, "causes": 7}', b"[" * 99999]
)
def test_a_broken_note_counts_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert replace_last_engine(tmp_path, "f1", {}) is None
    assert replace_last_engine(tmp_path, "f2", {}) is not None


def test_a_note_that_cannot_be_written_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert replace_last_engine(tmp_path / "nowhere", "f1", {}) is None
    assert "cannot write the engine's name" in caplog.text
