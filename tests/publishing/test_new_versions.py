from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kvproxy.charging.publish_charges import FreeHosting
from kvproxy.core.document_quota import DocumentQuota
from kvproxy.documents.library.document import Document, etag_of
from kvproxy.errors import DocumentQuotaExceeded, StorageFull
from kvproxy.publishing.new_versions import VersionDraft
from tests.documents.models import write_model
from tests.test_publish import ALICE, FRAMINGS, TEXT, Shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    model = write_model(tmp_path / "model", "qwen3")
    shop = Shop(model, tmp_path / "state", set(), FRAMINGS, quota=DocumentQuota(versions=1))
    yield shop
    assert shop.registry.page_keys() == shop.backend.disk
    shop.close()


def draft(id: str, origin: str = "published") -> VersionDraft:
    document = Document(id, 0, TEXT, etag_of(TEXT), "private", ALICE.scope, 0)
    if origin == "learned":
        document = Document(id, 0, TEXT, etag_of(TEXT), "private", ALICE.scope, 0, "learned")
    return VersionDraft(document, None, False, None, ())


async def test_a_draft_becomes_the_next_version_with_its_costs(shop: Shop) -> None:
    made = await shop.publisher._new_versions.publish(draft("rules"), ALICE, FreeHosting(), None)
    assert (made.ref.id, made.ref.version) == ("rules", 1)
    assert (
        made.computed == made.tokens == sum(len(f.kept.token_ids) for f in shop.registry.load()[0].framings)
    )
    assert await shop.refs(ALICE) == ["rules@1"]


async def test_only_what_is_published_counts_against_the_quota(shop: Shop) -> None:
    new = shop.publisher._new_versions
    await new.publish(draft("rules"), ALICE, FreeHosting(), None)
    with pytest.raises(DocumentQuotaExceeded):
        await new.publish(draft("more"), ALICE, FreeHosting(), None)
    await new.publish(draft("learned/1", "learned"), ALICE, FreeHosting(), None)
    assert await shop.refs(ALICE) == ["learned/1@1", "rules@1"]


async def test_a_draft_that_the_registry_refuses_leaves_no_page(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StorageFull("full")

    monkeypatch.setattr(shop.registry, "publish", full)
    with pytest.raises(StorageFull):
        await shop.publisher._new_versions.publish(draft("rules"), ALICE, FreeHosting(), None)
    assert shop.backend.disk == set() and len(shop.library) == 0
