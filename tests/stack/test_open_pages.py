"""Pages as the settings ask for them: plain or encrypted, here alone or in an object store too, and their figures."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from kvproxy.config import StoreSettings
from kvproxy.core.page_form import PageForm
from kvproxy.errors import SetupError
from kvproxy.stack.figures import page_figures
from kvproxy.stack.open_pages import OpenPages, open_pages, wait_for_names
from kvproxy.store.page_results import Loaded
from kvproxy.store.page_store import PageStore
from kvproxy.telemetry.metrics import HELP
from kvproxy.tiers.tiered_pages import TieredPages

FORM = PageForm(layers=2, kv_heads=1, head_dim=8, dtype="float32")
KEY, PARENT, IDS = b"k" * 32, b"p" * 32, tuple(range(256))
PAYLOAD = os.urandom(FORM.payload_bytes(256))


def settings(folder: Path, **more: Any) -> StoreSettings:
    return StoreSettings.model_validate({"path": folder / "store", **more})


def key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def read(pages: OpenPages) -> bytes | None:
    found = pages.get(KEY, PARENT, IDS)
    return bytes(found.payload) if isinstance(found, Loaded) else None


def test_local_files_alone(tmp_path: Path) -> None:
    with open_pages(settings(tmp_path), "f1", FORM) as pages:
        assert isinstance(pages, PageStore) and pages.packing.seal is None
        wait_for_names(pages)
        pages.put(KEY, PARENT, IDS, PAYLOAD)
        assert read(pages) == PAYLOAD
        assert page_figures(pages) == ({"disk_page_reads": 1}, {})


def test_keys_encrypt_and_rotate(tmp_path: Path) -> None:
    old, new = key(), key()
    with open_pages(settings(tmp_path, encryption_keys=old), "f1", FORM) as pages:
        pages.put(KEY, PARENT, IDS, PAYLOAD)
        content = pages.read_file(KEY)
        assert content is not None and PAYLOAD[:64] not in content
    with open_pages(settings(tmp_path, encryption_keys=[new]), "f1", FORM) as pages:
        assert read(pages) is None
    with open_pages(settings(tmp_path, encryption_keys=[new, old]), "f1", FORM) as pages:
        assert read(pages) == PAYLOAD


def test_an_object_store_behind_them(tmp_path: Path) -> None:
    objects = {"url": f"file://{tmp_path / 'objects'}"}
    with open_pages(settings(tmp_path / "one", objects=objects), "f1", FORM) as one:
        wait_for_names(one)
        assert isinstance(one, TieredPages)
        one.put(KEY, PARENT, IDS, PAYLOAD)
        assert one.behind.settle(60)
    with open_pages(settings(tmp_path / "two", objects=objects), "f1", FORM) as two:
        wait_for_names(two)
        assert isinstance(two, TieredPages) and read(two) == PAYLOAD
        counters, gauges = page_figures(two)
        assert (counters["object_page_reads"], gauges["object_pages"]) == (1, 1)
        assert counters["object_bytes_read"] > len(PAYLOAD)
        assert set(counters) | set(gauges) <= set(HELP), "each has its words"


def test_two_proxies_on_one_folder_are_told_before_anything_is_written(tmp_path: Path) -> None:
    objects = {"url": f"file://{tmp_path / 'objects'}"}
    with (
        open_pages(settings(tmp_path, objects=objects), "f1", FORM),
        pytest.raises(SetupError, match="in use by another kvproxy"),
        open_pages(settings(tmp_path, objects=objects), "f1", FORM),
    ):
        pass
