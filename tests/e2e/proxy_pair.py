"""`ProxyPair`: two proxies with a PostgreSQL and an object store between them, as an operator sets them up."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.reader import MODEL, Reader, reader
from tests.e2e.served import Served
from tests.objects.conftest import s3_address

ADMIN, ALICE, BOB = "admin-0123456789abcdef", "alice-0123456789abcdef", "bob-0123456789abcdef"
SHARED = ("keys.secret", "host-keys")
"""Files that the stores of several proxies have in common: copied here, as docs/scale.md says."""

TARIFF = """
currency: USD
tariffs:
  - valid_from: 2026-01-01
    models: {smol: {input: "0", output: "0"}}
    documents: {price: 100%, publisher_share: 100%}
"""
"""Answers are free; what a publisher asks for its document is not."""


class ProxyPair:
    """Two proxies with stores of their own."""

    def __init__(self, folder: Path, model: Path, config: dict[str, Any]) -> None:
        self.both = []
        for name in ("a", "b"):
            (folder / name).mkdir()
            self.both.append(Served(folder / name, model, config))
        self.a, self.b = self.both

    def share_secrets(self) -> None:
        """Before the second one's first start."""
        self.b.store.mkdir(exist_ok=True)
        for name in SHARED:
            source = self.a.store / name
            if source.is_dir():
                shutil.copytree(source, self.b.store / name, dirs_exist_ok=True)
            elif source.exists():
                shutil.copy2(source, self.b.store / name)


def fleet_config(folder: Path, database: str, s3: str, bucket: str) -> dict[str, Any]:
    address = s3_address(s3, bucket)
    path = folder / "tariff.yaml"
    path.write_text(TARIFF, encoding="utf-8")
    names = {"root": ADMIN, "alice": ALICE, "bob": BOB}
    keys: list[dict[str, Any]] = [{"name": name, "key": key} for name, key in names.items()]
    keys[0]["scopes"] = ["read", "publish", "ledger", "metrics", "admin"]
    return {
        "model": {"name": MODEL, "threads": 1},
        "server": {"api_keys": keys},
        "database": {"url": database},
        "store": {"objects": {"url": address.url, "options": dict(address.options), "relist_s": 3600}},
        "tariff": str(path),
        "billing": {"default_credit": "1000"},
    }


@contextmanager
def served_pair(pair: ProxyPair) -> Iterator[ProxyPair]:
    with pair.a:
        pair.share_secrets()
        with pair.b:
            yield pair


@contextmanager
def readers(pair: ProxyPair, key: str) -> Iterator[tuple[Reader, Reader]]:
    with reader(pair.a.url, key) as a, reader(pair.b.url, key) as b:
        yield a, b


def until(reached: Callable[[], object], within_s: float = 30.0) -> float:
    """Wait until the other proxy has followed; return the seconds that it took."""
    began = time.monotonic()
    while not reached():
        assert time.monotonic() - began < within_s
        time.sleep(0.01)
    return time.monotonic() - began


def status(http: httpx.Client, path: str) -> int:
    return http.get(path).status_code


def resident(http: httpx.Client, id: str) -> int:
    """Return the tokens of a document that a reader finds, in any tier."""
    shown = http.get(f"/kv/v1/documents/{id}")
    return 0 if shown.status_code != 200 else int(shown.json()["framings"][0]["resident_tokens"])
