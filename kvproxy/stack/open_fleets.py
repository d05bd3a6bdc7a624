"""Opens the fleets of a configuration: the texts' side of each model here, its weights at its replicas."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

from kvproxy.accounts.key_hash import open_secret
from kvproxy.backends.base import LocalBackend
from kvproxy.config import Config
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.settings.fleet_settings import FleetSettings
from kvproxy.stack.open_model import OpenModel

logger = logging.getLogger(__name__)

Opening = Callable[
    [FleetSettings, Path, Tokenizer, ChatTemplate, bytes], AbstractAsyncContextManager[LocalBackend]
]
"""Opens one fleet's backend from its settings, the folder of its tokenizer, both texts' parts, and the host's
secret."""


def replicas_of(
    settings: FleetSettings, folder: Path, tokenizer: Tokenizer, template: ChatTemplate, secret: bytes
) -> AbstractAsyncContextManager[LocalBackend]:
    """Return the backend over a fleet's replicas: an ``Opening``.

    Example: ``async with replicas_of(fleet, folder, tokenizer, template, secret) as backend: ...``
    """
    # Its client and its sockets are nothing for a process that has no fleet.
    from kvproxy.backends.fleet.open_fleet import open_fleet

    return open_fleet(settings, folder=folder, tokenizer=tokenizer, template=template, secret=secret)


@asynccontextmanager
async def open_fleets(
    config: Config, folders: Mapping[str, Path], opening: Opening = replicas_of
) -> AsyncIterator[tuple[OpenModel, ...]]:
    """Open every fleet, in the configuration's order; close them in reverse. Raises SetupError, which names the fleet
    and the replica that does not match.

    ``folders``: by the fleets' names, the folders with tokenizer and chat template.
    Example: ``async with open_fleets(config, {"qwen": folder}) as fleets: ...``
    """
    async with AsyncExitStack() as life:
        opened = []
        secret = await asyncio.to_thread(open_secret, config.store.path) if config.fleets else b""
        for settings in config.fleets:
            began, folder = time.perf_counter(), folders[settings.name]
            tokenizer = await asyncio.to_thread(Tokenizer.load, folder)
            template = await asyncio.to_thread(ChatTemplate.load, folder)
            backend = await life.enter_async_context(opening(settings, folder, tokenizer, template, secret))
            logger.info("%s: the fleet is open, in %.2f s", settings.name, time.perf_counter() - began)
            opened.append(OpenModel(settings.name, backend, tokenizer, template))
        yield tuple(opened)
