"""`run_server`: the HTTP server over an open stack, from the command line's configuration to the exit status."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable

from kvproxy.config import Config
from kvproxy.errors import KVProxyError, SetupError
from kvproxy.runtime.service_manager import ServiceManager
from kvproxy.server.app import build_app
from kvproxy.server.auth import Keyring
from kvproxy.server.components import Components
from kvproxy.server.market import Market
from kvproxy.server.run import serve
from kvproxy.server.shutdown import Drain
from kvproxy.stack.fleet_metrics import fleet_series
from kvproxy.stack.model_folders import ModelFolders, resolve_folders
from kvproxy.stack.open_stack import Stack, open_stack
from kvproxy.stack.open_tracing import open_tracing
from kvproxy.stack.service_state import service_figures
from kvproxy.telemetry.log_output import begin_log
from kvproxy.telemetry.tracing.tracing import Tracing
from kvproxy.wire.bodies.request_reading import ReadingPolicy

logger = logging.getLogger(__name__)


def run_server(
    config: Config,
    *,
    announce: Callable[[str, int], None],
    progress: Callable[[int, int], None],
    ended: Callable[[Stack], Awaitable[None]] | None = None,
) -> int:
    """Serve until a signal, and return the exit status. Raises SetupError when nothing can be served; where the log is
    JSON that is its last line, and the status.

    ``announce(host, port)`` is called once the server listens, ``progress(done, total)`` while a model is downloaded.
    ``ended`` is awaited after the last answer, while every component is still open.

    Example:
        ``run_server(load_config(path), announce=lambda host, port: print(port), progress=lambda done, total: None)``
    """
    begin_log(config.telemetry.log_format, config.telemetry.log_level)
    manager = ServiceManager.of(os.environ)
    try:
        manager.say(f"finding the files of {', '.join(config.served_names)}")
        folders = resolve_folders(config, progress)
        manager.say(f"loading {', '.join(config.served_names)}")
        asyncio.run(_serve(config, folders, announce, ended, manager))
    except KVProxyError as e:
        if config.telemetry.log_format != "json":
            raise
        logger.critical("%s", e.message)  # the last line of a log whose lines are all JSON
        return 2 if isinstance(e, SetupError) else 1
    finally:
        manager.close()
    return 0


async def _serve(
    config: Config,
    folders: ModelFolders,
    announce: Callable[[str, int], None],
    ended: Callable[[Stack], Awaitable[None]] | None,
    manager: ServiceManager,
) -> None:
    async with (
        open_tracing(config.telemetry, config.upstreams) as tracing,
        open_stack(config, folders) as stack,
    ):
        stack.pipeline.metrics.follow_service(lambda: service_figures(stack))
        drain = Drain(config.server.drain_timeout_s)
        app = build_app(_components(config, stack, drain, tracing))
        stack.start_background()
        await serve(app, config.server.host, config.server.port, drain, announce, manager)
        if ended is not None:
            await ended(stack)


def _components(config: Config, stack: Stack, drain: Drain, tracing: Tracing) -> Components:
    settings = config.server
    return Components(
        created=int(time.time()),
        pipeline=stack.pipeline,
        ready=stack.ready,
        publisher=stack.publisher,
        verifier=stack.verifier,
        verifiers=stack.verifiers,
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
        reporters=stack.explaining.reporters,
        upkeep=stack.upkeep,
        dashboard=config.dashboard.enabled,
        dashboard_secret=config.dashboard.secret,
        usage=stack.usage,
        figures=stack.figures,
        tracing=tracing,
        store_state=None if stack.engine is None else stack.engine.store_state,
        fleets=(lambda: fleet_series(stack.pipeline.models, {})) if config.fleets else tuple,
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
