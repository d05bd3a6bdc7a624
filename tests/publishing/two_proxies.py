"""`ProxyOfFleet`: one of several publishers on one PostgreSQL, with a library, an engine and a folder of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path

from kvproxy.backends.fake.fake_backend import FakeBackend
from kvproxy.core import Caller, ChatRequest, DocumentRef, Message, PagesFound, TextPart, Visibility
from kvproxy.database.database import Database
from kvproxy.database.migrate import migrate
from kvproxy.documents.library.document import Framing
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.registry.registry import Registry
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.publish import Publisher
from kvproxy.publishing.lacking_pages import SharedPages

FRAMINGS = (Framing("system"), Framing("user"))


@dataclass
class ProxyOfFleet:
    """A proxy's documents. ``publisher.follower`` runs."""

    database: Database
    registry: Registry
    library: Library
    composer: Composer
    backend: FakeBackend
    publisher: Publisher

    async def publish(self, id: str, text: str, visibility: Visibility, caller: Caller) -> DocumentRef:
        info = (await self.publisher.publish(id, text, visibility, caller)).info
        return DocumentRef(info.id, info.version)

    def cached(self, text: str, caller: Caller) -> int:
        """The number of tokens that a reader of ``text`` at the head of the system message would find."""
        messages = (Message("system", (TextPart(text),)), Message("user", (TextPart("Q"),)))
        prompt = self.composer.compose(ChatRequest("fake", messages), caller)
        with self.backend.hold(prompt, caller) as lookup:
            return lookup.tokens if isinstance(lookup, PagesFound) else 0


class SharedDisk:
    """Another proxy's pages as an object store gives them: found when asked for."""

    def __init__(self, own: set[bytes], shared: set[bytes]) -> None:
        self.own, self.shared = own, shared
        self.released: list[bytes] = []

    def find(self, keys: Sequence[bytes]) -> int:
        self.own.update(self.shared & set(keys))
        return len(self.own & set(keys))

    def release(self, keys: Sequence[bytes]) -> None:
        self.released += keys


@asynccontextmanager
async def proxy_of_fleet(
    url: str,
    model: Path,
    folder: Path,
    *,
    disk: set[bytes] | None = None,
    shared: SharedPages | None = None,
    fingerprint: str = "fake",
) -> AsyncIterator[ProxyOfFleet]:
    """A proxy with the store ``folder``, restored and following."""
    with Database.open(url, folder) as database:
        await asyncio.to_thread(migrate, database)
        database.changes.listen()
        assert await asyncio.to_thread(database.changes.wait_until_listening, 20)
        library = Library()
        composer = Composer(Tokenizer.load(model), ChatTemplate.load(model), library, FRAMINGS)
        backend = FakeBackend(disk=disk, max_context=16_384, fingerprint=fingerprint)
        registry = Registry(database, folder)
        publisher = Publisher(
            composer=composer, library=library, registry=registry, local=backend, shared=shared
        )
        with closing(publisher):
            await publisher.restore()
            following = asyncio.create_task(publisher.follower.run())
            try:
                yield ProxyOfFleet(database, registry, library, composer, backend, publisher)
            finally:
                following.cancel()
                with suppress(asyncio.CancelledError):
                    await following
                assert await asyncio.to_thread(registry.check) == [] and backend.check() == []


async def until(reached: Callable[[], object]) -> None:
    """Wait until what another proxy has told of is done here."""
    async with asyncio.timeout(30):
        while not reached():  # noqa: ASYNC110 - what is waited for is another thread's, and sets no event
            await asyncio.sleep(0.005)
