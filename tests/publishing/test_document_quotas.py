"""Quotas of what a tenant has published, checked before anything is computed. On a fake backend."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kvproxy.core import PAGE_TOKENS, DocumentRef
from kvproxy.core.document_quota import DocumentQuota, QuotaUse
from kvproxy.documents.library.published_usage import PublishedUsage
from kvproxy.errors import DocumentQuotaExceeded
from tests.documents.models import write_model
from tests.test_publish import ALICE, BOB, FRAMINGS, TEXT, Shop

OTHER = TEXT.replace("e", "a")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), "qwen3")


async def test_versions_are_counted_until_they_end(folder: Path, tmp_path: Path) -> None:
    shop = Shop(folder, tmp_path, set(), FRAMINGS, quota=DocumentQuota(versions=2))
    await shop.publish("a", TEXT)
    await shop.publish("a", OTHER)
    before = len(shop.backend.generations), set(shop.backend.disk)
    with pytest.raises(
        DocumentQuotaExceeded, match=r"'alice' has 2 versions published.* its quota is 2"
    ) as caught:
        await shop.publish("b", TEXT + "More.")
    assert (caught.value.http_status, caught.value.code) == (403, "document_quota_exceeded")
    assert (len(shop.backend.generations), shop.backend.disk) == before, "nothing was computed"
    assert not (await shop.publisher.publish("a", OTHER, None, ALICE)).created, "the same text adds nothing"
    await shop.publish("b", TEXT, caller=BOB)
    await shop.publisher.endings.revoke(DocumentRef("a", 1), ALICE, "old")
    await shop.publish("c", TEXT + "More.")
    await shop.publisher.delete(DocumentRef("c"), ALICE)
    await shop.publisher.publish("learned/1", TEXT, "private", ALICE, origin="learned")
    await shop.publish("d", TEXT + "More.")
    assert shop.publisher.quotas.use(ALICE).versions == 2
    shop.close()


@pytest.mark.parametrize("limited", ["tokens", "bytes"])
async def test_tokens_and_bytes_are_counted(folder: Path, tmp_path: Path, limited: str) -> None:
    shop = Shop(folder, tmp_path, set(), FRAMINGS)
    info = (await shop.publisher.publish("a", TEXT, None, ALICE)).info
    pages = sum(-(-f.tokens // PAGE_TOKENS) for f in info.framings)
    use = QuotaUse(1, pages * 4 * PAGE_TOKENS, info.tokens, DocumentQuota())
    assert shop.publisher.quotas.use(ALICE) == use
    shop.close()
    most = {"tokens": use.tokens, "bytes": use.bytes}[limited]
    again = Shop(folder, tmp_path, set(), FRAMINGS, quota=DocumentQuota(**{limited: most}))
    await again.publisher.restore()
    assert again.publisher.quotas.use(ALICE).tokens == use.tokens, "also after a restart"
    with pytest.raises(DocumentQuotaExceeded, match=limited):
        await again.publish("b", OTHER)
    await again.publisher.delete(DocumentRef("a"), ALICE)
    await again.publish("b", TEXT)
    again.close()


async def test_publishes_at_the_same_time_count_for_each_other(folder: Path, tmp_path: Path) -> None:
    shop = Shop(folder, tmp_path, set(), FRAMINGS, quota=DocumentQuota(versions=2))
    done = await asyncio.gather(
        *(shop.publish(f"doc{i}", f"{i} {TEXT}") for i in range(4)), return_exceptions=True
    )
    assert sum(isinstance(d, DocumentQuotaExceeded) for d in done) == 2 and len(shop.library) == 2
    shop.close()


async def test_a_claim_ends_with_its_block(folder: Path, tmp_path: Path) -> None:
    shop = Shop(folder, tmp_path, set(), FRAMINGS, quota=DocumentQuota(versions=1))
    one = PublishedUsage(1, 10, 1)
    with shop.publisher.quotas.claim(ALICE, one):
        with pytest.raises(DocumentQuotaExceeded), shop.publisher.quotas.claim(ALICE, one):
            pass
    with shop.publisher.quotas.claim(ALICE, one):
        pass
    shop.close()
