"""A granted document over HTTP on the real model: read by whom a grant lets in, with a cold answer's bits."""

from __future__ import annotations

import pytest
from openai import NotFoundError, PermissionDeniedError

from tests.e2e.conftest import KEYS, Fresh
from tests.e2e.reader import Reader
from tests.e2e.test_hit import CHARACTERS, said
from tests.e2e.texts import document

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

QUESTION = "What is this text about?"


def sent(text: str) -> list[dict[str, object]]:
    return [{"role": "system", "content": text}, {"role": "user", "content": QUESTION}]


def named(id: str) -> list[dict[str, object]]:
    part = {"type": "kv_document", "document": id}
    return [{"role": "system", "content": [part]}, {"role": "user", "content": QUESTION}]


def tenant(reader: Reader) -> str:
    return f"tenant-{KEYS.index(reader.key)}"


def test_a_grant_lets_one_reader_load_it_until_it_is_revoked(fresh: Fresh) -> None:
    publisher, reader, stranger = fresh(), fresh(), fresh()
    text, id = document("granted", CHARACTERS), "granted-manual"
    cold = stranger.ask(sent(text))
    priced = {"kind": "fixed", "per_1000": "0.02", "text_readers": "full_price"}
    body = {"id": id, "text": text, "visibility": "granted", "price": priced}
    published = publisher.http.post("/kv/v1/documents", json=body)
    assert published.status_code == 201, published.text
    with pytest.raises(NotFoundError):
        reader.ask(named(id))
    wanted = {"document": id, "reader": "tenant", "id": tenant(reader)}
    made = publisher.http.post("/kv/v1/grants", json=wanted)
    assert made.status_code == 201, made.text
    hit = reader.ask(named(id))
    assert hit.outcome == "hit" and hit.cached > 256 and said(hit) == said(cold)
    assert reader.documents().count(f"{id}@1") == 1 and f"{id}@1" not in stranger.documents()
    assert reader.http.get(f"/kv/v1/documents/{id}?text=true").status_code == 403
    later = fresh().ask(sent(text))
    # The template's first words are in public pages of other documents.
    assert later.cached < 16 and later.outcome == "fwd=miss" and said(later) == said(cold)
    with pytest.raises(NotFoundError):
        stranger.ask(named(id))
    grant = made.json()["id"]
    assert publisher.http.delete(f"/kv/v1/grants/{grant}").status_code == 200
    with pytest.raises(PermissionDeniedError, match="was revoked"):
        reader.ask(named(id))
