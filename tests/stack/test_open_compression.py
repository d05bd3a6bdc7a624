"""The codec of a store: opened for reading in any case, chosen for writing by the setting."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from kvproxy.codecs.open_codec import CODECS
from kvproxy.config import StoreSettings
from kvproxy.core.page_form import PageForm
from kvproxy.engine.native.kernel_library import NoKernels
from kvproxy.errors import SetupError
from kvproxy.settings.store_settings import ObjectSettings
from kvproxy.stack.open_compression import open_compression

FORM = PageForm(2, 1, 64, "bfloat16")


@pytest.mark.parametrize("written", ["off", False])
def test_off_reads_compressed_pages_and_writes_plain_ones(tmp_path: Path, written: object) -> None:
    settings = StoreSettings.model_validate({"path": tmp_path, "compression": written})
    opened = open_compression(settings, FORM)
    assert opened.codec is not None and opened.codec.name == CODECS[0]
    assert not opened.choice.compress(used=100, size=100)


def test_a_codec_by_name_writes_from_the_first_page_on(tmp_path: Path) -> None:
    opened = open_compression(StoreSettings(path=tmp_path, compression="kv-rans-1"), FORM)
    assert opened.choice.compress(used=0, size=100)


def test_auto_measures_this_disk_and_says_what_it_found(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        opened = open_compression(StoreSettings(path=tmp_path / "new", compression="auto"), FORM)
    assert opened.choice.compress(used=90, size=100)
    assert "compression of pages" in caplog.text


def test_auto_compresses_what_goes_to_an_object_store(tmp_path: Path) -> None:
    objects = ObjectSettings(url="file:///mnt/kv")
    opened = open_compression(StoreSettings(path=tmp_path, compression="auto", objects=objects), FORM)
    assert opened.choice.compress(used=0, size=100)


def test_without_the_kernels_only_a_codec_by_name_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "kvproxy.codecs.open_codec.load_kernels", lambda: NoKernels("there is no library", "install g++")
    )
    opened = open_compression(StoreSettings(path=tmp_path, compression="auto"), FORM)
    assert opened.codec is None and not opened.choice.compress(used=100, size=100)
    with pytest.raises(SetupError, match="install"):
        open_compression(StoreSettings(path=tmp_path, compression="kv-rans-1"), FORM)
