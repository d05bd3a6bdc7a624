"""A proxy with registry, pages and stored responses damaged while it was stopped: it starts, and reports them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kvproxy.store.disk import page_name
from tests.documents.registry.own_registry import OwnRegistry
from tests.e2e.reader import MODEL, reader
from tests.e2e.served import Served
from tests.e2e.texts import document, in_system

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

IDS = ("sound", "registry", "pages")
TEXTS = {id: document(id, 1_700, skip=3_000 * i) for i, id in enumerate(IDS)}


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)


def damage(store: Path) -> None:
    """A text in the registry, a page of another document, and a record among the responses."""
    with OwnRegistry(store) as registry:
        (entry,) = [e for e in registry.load() if e.document.id == "pages"]
        page = store / "pages" / page_name(entry.framings[0].kept.pages[0].key)
    flip(page, page.stat().st_size // 2)
    for path, what in (
        ("kvproxy.sqlite3", TEXTS["registry"]),
        ("responses/cache.db", "The second question"),
    ):
        flip(store / path, (store / path).read_bytes().index(what.encode()[:16]) + 5)


def test_three_damaged_files_cost_what_was_in_them(smollm2: Path, tmp_path: Path) -> None:
    proxy = Served(tmp_path, smollm2, {"model": {"name": MODEL}})
    with proxy:
        with reader(proxy.url) as client:
            for id, text in TEXTS.items():
                client.publish(id, text, "public")
            right = {id: client.ask(in_system(text, "Why?")) for id, text in TEXTS.items()}
            assert {a.outcome for a in right.values()} == {"hit"}
            responses = client.client.responses
            first, second = (
                responses.create(model=MODEL, input=f"The {n} question", max_output_tokens=16)
                for n in ("first", "second")
            )
        assert proxy.stop() == 0
        damage(proxy.store)
        proxy.start()
        started = proxy.log
        with reader(proxy.url) as client:
            assert client.documents() == ["pages@1", "sound@1"]
            answers = {id: client.ask(in_system(text, "Why?")) for id, text in TEXTS.items()}
            assert {id: a.outcome for id, a in answers.items()} == {
                "sound": "hit", "registry": "fwd=miss", "pages": "fwd=miss",
            }  # fmt: skip
            assert {id: a.text for id, a in answers.items()} == {id: a.text for id, a in right.items()}
            assert client.client.responses.retrieve(first.id).output_text == first.output_text
            assert client.http.get(f"/v1/responses/{second.id}").status_code == 404
            again = client.http.post("/kv/v1/documents", json={"id": "registry", "text": TEXTS["registry"]})
            assert again.json()["info"]["version"] == 2, "the number is not used again"
        for line in (
            "2 damaged rows are lost; set aside in",
            "registry@1 is not served: the text does not match its ETag",
            f"response {second.id} is damaged and not served",
        ):
            assert started.count(line) == 1, line
        found = re.findall(r"rejected: frame [0-9]+ fails its checksum", proxy.log)
        assert len(found) == 1, "when it is read"
