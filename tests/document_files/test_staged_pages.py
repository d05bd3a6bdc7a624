"""Pages that came in a file and are wrong. Whatever is refused leaves nothing behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kvproxy.core import Prompt
from kvproxy.document_files.document_import import ImportWish
from kvproxy.errors import DocumentRejected
from tests.document_files.hosts import (
    BOB,
    Exported,
    Host,
    chunks_of,
    nothing_is_left,
    poisoned,
)
from tests.document_files.hosts import (
    TEXT as HANDBOOK,
)
from tests.document_files.refusals import PRIVATE, prefix


@pytest.mark.parametrize(("framing", "index"), [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2)])
async def test_a_poisoned_page_in_the_sample_is_refused_and_named(
    importer: Host, exported: Exported, framing: int, index: int
) -> None:
    """The lowest bit of one value of the last layer, with right digests, signed by a host that is trusted."""
    file, name = poisoned(exported, framing, index), exported.claims["framings"][framing]["name"]
    with pytest.raises(DocumentRejected, match=f"Page {index} of framing '{name}' has other bits than"):
        await importer.take(file, exported.trusted, share=1.0)
    nothing_is_left(importer)


@pytest.mark.parametrize("index", [0, 1])
async def test_a_poisoned_page_outside_of_the_sample_is_found_by_the_last_one(
    importer: Host, exported: Exported, index: int
) -> None:
    """A key of the first layer is in the values of every later page. It is named, and not what follows from it."""
    file = poisoned(exported, 0, index, frame=0, change=0x40)
    for seed in range(4):  # whichever page is chosen before the last
        with pytest.raises(DocumentRejected, match=f"Page {index} of framing 'system' has other bits"):
            await importer.take(file, exported.trusted, share=0.0, seed=seed)
    nothing_is_left(importer)


async def test_wrong_pages_of_another_text_reach_no_reader_of_it(importer: Host, exported: Exported) -> None:
    """A page of this host's own is never replaced by one of a file, whether that is right or not."""
    own = await importer.publisher.publish("own", HANDBOOK, "public", BOB)
    before = await importer.manifest("own")
    with pytest.raises(DocumentRejected, match="Page 0"):
        wish = ImportWish("theirs", "public")
        await importer.take(poisoned(exported, 0, 0), exported.trusted, wish=wish, share=1.0)
    after = await importer.manifest("own")
    assert own.created and after.jws == before.jws
    assert importer.store.usage().pages == 6


async def test_poison_cannot_come_with_the_text_alone(importer: Host, exported: Exported) -> None:
    wish = ImportWish(visibility="private", pages="none")
    await importer.take(poisoned(exported, 0, 1), exported.trusted, wish=wish)
    assert (await importer.local.compare(Prompt((*prefix(importer), 5)), BOB, 1)).exact


async def test_a_client_that_leaves_in_the_middle_leaves_nothing(importer: Host, exported: Exported) -> None:
    arrived = asyncio.Event()

    async def stalling() -> Any:
        async for chunk in chunks_of(exported.file[: len(exported.file) // 2]):
            yield chunk
        arrived.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(importer.importer(exported.trusted).take_in(stalling(), PRIVATE, BOB))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    nothing_is_left(importer)


async def test_every_page_is_computed_again_where_that_is_asked_for(
    importer: Host, exported: Exported
) -> None:
    imported = await importer.take(exported.file, exported.trusted, share=1.0)
    assert imported.checked == imported.pages == 6
