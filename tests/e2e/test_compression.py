"""A document that is stored compressed is the same answer after a restart, in two thirds of its bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.store.page_file import read_record
from kvproxy.store.page_record import PageRecord
from tests.e2e.damage import faults
from tests.e2e.reader import MODEL, reader
from tests.e2e.served import Served
from tests.e2e.texts import document, in_system

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

PLAIN_PER_TOKEN = 30 * 2 * 3 * 64 * 2
"""Bytes of KV of SmolLM2-135M."""


def records(store: Path) -> list[PageRecord]:
    """The headers of all page files."""
    found = []
    for path in sorted((store / "pages").rglob("*.page")):
        with path.open("rb", buffering=0) as file:
            record = read_record(file)
        assert isinstance(record, PageRecord)
        found.append(record)
    return found


@pytest.mark.parametrize(("codec", "ratio"), [("kv-rans-1", 1.5), ("kv-rans-1+layer0", 1.55)])
def test_a_compressed_document_is_a_hit_after_a_restart(
    smollm2: Path, tmp_path: Path, codec: str, ratio: float
) -> None:
    text = document("compressed", 5_000)
    asked = in_system(text, "What is it about?")
    config = {"model": {"name": MODEL}}
    with Served(tmp_path, smollm2, config | {"store": {"compression": codec}}) as proxy:
        with reader(proxy.url) as client:
            client.publish("compressed", text)
            published = client.ask(asked, max_tokens=16)
        assert published.outcome == "hit"
        assert proxy.stop() == 0
        stored = records(proxy.store)
        assert stored and {record.codec for record in stored} == {codec}
        full = [record for record in stored if record.positions == 256]
        assert len(full) >= 3
        assert sum(256 * PLAIN_PER_TOKEN / record.payload_bytes for record in full) / len(full) > ratio

        proxy.configure(config)  # what is compressed is read with ``off``, too
        proxy.start()
        with reader(proxy.url) as client:
            again = client.ask(asked, max_tokens=16)
        assert (again.outcome, again.text) == ("hit", published.text)
        assert proxy.stop() == 0
    assert faults(proxy.store) == []
