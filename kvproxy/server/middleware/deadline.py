"""How long one request may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kvproxy.errors import TimedOut


@asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[None]:
    """Raises TimedOut when the block takes longer; timeouts of others inside it stay what they are.

    Belongs inside of an :class:`~kvproxy.server.answers.client_stream.SseStream`, which tells the client of it as
    its last event.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise TimedOut(
            f"The request took longer than {seconds:g} s. Lower max_tokens, or raise server.timeout_s."
        ) from None
