"""`while_served`: a block that ends as soon as one of a prompt's documents is withdrawn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from kvproxy.core import Span
from kvproxy.documents.library.library import Library


@asynccontextmanager
async def while_served(library: Library, spans: Sequence[Span]) -> AsyncIterator[None]:
    """Run the block as long as all these documents are served: what waits in it is cancelled when one is revoked or
    expires. Raises Gone then, also for one that was withdrawn before.

    Example:
        ``async with while_served(library, prompt.documents): started = await first_event(events, clock)``
    """
    refs = [span.document for span in spans]
    _check(library, spans)
    limit, loop = asyncio.timeout(None), asyncio.get_running_loop()
    try:
        async with limit:
            with library.withdrawn.watch(refs, lambda: limit.reschedule(loop.time())):
                yield
    except TimeoutError:
        if limit.expired():
            _check(library, spans)
        raise


def _check(library: Library, spans: Sequence[Span]) -> None:
    for span in spans:
        withdrawal = library.withdrawn.find(span.document)
        if withdrawal is not None:
            raise withdrawal.error()
