"""`run_server`: the HTTP server over an open stack, from the command line's configuration to the exit status."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from kvproxy.config import Config, default_cache_dir
from kvproxy.engine.models.source import ModelFolder, resolve_model
from kvproxy.server.app import build_app
from kvproxy.server.auth import Keyring
from kvproxy.server.components import Components
from kvproxy.server.market import Market
from kvproxy.server.run import serve
from kvproxy.server.shutdown import Drain
from kvproxy.stack.open_stack import Stack, open_stack
from kvproxy.wire.bodies.request_reading import ReadingPolicy


def run_server(
    config: Config,
    *,
    announce: Callable[[str, int], None],
    progress: Callable[[int, int], None],
    ended: Callable[[Stack], Awaitable[None]] | None = None,
) -> int:
    """Serve until a signal, and return the exit status. Raises SetupError when nothing can be served.

    ``announce(host, port)`` is called once the server listens, ``progress(done, total)`` while a model is downloaded.
    ``ended`` is awaited after the last answer, while every component is still open.

    Example:
        ``run_server(load_config(path), announce=lambda host, port: print(port), progress=lambda done, total: None)``
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # No line names its thread or process, and looking them up is a tenth of the cost of a line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    for noisy in ("LiteLLM", "alembic", "httpx", "transformers"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    folder = resolve_model(
        config.model.path, revision=config.model.revision, cache_dir=default_cache_dir(), progress=progress
    )
    asyncio.run(_serve(config, folder, announce, ended))
    return 0


async def _serve(
    config: Config,
    folder: ModelFolder,
    announce: Callable[[str, int], None],
    ended: Callable[[Stack], Awaitable[None]] | None,
) -> None:
    async with open_stack(config, folder) as stack:
        drain = Drain(config.server.drain_timeout_s)
        app = build_app(_components(config, stack, drain))
        stack.start_background()
        await serve(app, config.server.host, config.server.port, drain, announce)
        if ended is not None:
            await ended(stack)


def _components(config: Config, stack: Stack, drain: Drain) -> Components:
    settings = config.server
    return Components(
        served_name=config.model.served_name,
        created=int(time.time()),
        pipeline=stack.pipeline,
        ready=stack.ready,
        publisher=stack.publisher,
        verifier=stack.verifier,
        responses=stack.responses,
        files=stack.files,
        keyring=Keyring(
            ((k.name, k.key) for k in settings.api_keys),
            {k.name: k.isolate_by for k in settings.api_keys},
            permissions={k.name: k.scopes for k in settings.api_keys},
            no_retention=frozenset(k.name for k in settings.api_keys if not k.retain),
            accounts=stack.market.accounts,
        ),
        drain=drain,
        max_body=settings.max_body,
        keepalive_s=settings.keepalive_s,
        timeout_s=settings.timeout_s,
        aliases=config.aliases,
        cors_origins=settings.cors_origins,
        policy=ReadingPolicy(**config.requests.model_dump()),
        show_metrics=settings.metrics,
        metrics_key=settings.metrics_key,
        market=_market(stack),
        learned=stack.learned,
        reporter=stack.explaining.reporter,
        upkeep=stack.upkeep,
    )


def _market(stack: Stack) -> Market:
    """Return the market as the routes reach it."""
    opened, offers = stack.market, stack.offers
    return Market(
        accounts=opened.accounts,
        grants=opened.grants,
        tariffs=opened.tariffs,
        terms=opened.terms,
        ledger=opened.ledger,
        host_keys=opened.host_keys,
        receipts=opened.receipts,
        quotes=opened.quotes,
        catalog=offers.catalog,
        quote_maker=offers.quote_maker,
        host=opened.host,
        payments=opened.payments,
        charging=opened.charging,
        currency=opened.currency,
    )
