"""The application: which path goes where, and what every request passes on its way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from aiohttp import web
from aiohttp.typedefs import Handler

from kvproxy.server import chat, documents, health, models
from kvproxy.server.body import expect_continue
from kvproxy.server.errors import errors
from kvproxy.server.parts import CALLER, PARTS, Parts
from kvproxy.server.request_id import add_request_id, request_ids


def build_app(parts: Parts) -> web.Application:
    """``parts.lifespan`` is entered when the app starts and left when it is cleaned up."""
    app = web.Application(middlewares=[request_ids, errors, admission], client_max_size=parts.max_body)
    app[PARTS] = parts
    app.router.add_get("/health/live", health.live)
    app.router.add_get("/health/ready", health.ready)
    app.router.add_post("/v1/chat/completions", chat.chat_completions, expect_handler=expect_continue)
    app.router.add_get("/v1/models", models.list_models)
    app.router.add_get("/v1/models/{model:.+}", models.get_model)
    app.router.add_post("/kv/v1/documents", documents.publish, expect_handler=expect_continue)
    app.router.add_get("/kv/v1/documents", documents.list_documents)
    app.router.add_get("/kv/v1/documents/{ref:.+}", documents.get_document)
    app.router.add_post("/kv/v1/documents/{ref:.+}/verify", documents.verify_document)
    app.router.add_delete("/kv/v1/documents/{ref:.+}", documents.delete_document)
    app.on_response_prepare.append(add_request_id)
    app.cleanup_ctx.extend(_as_cleanup(enter) for enter in parts.lifespan)
    return app


@web.middleware
async def admission(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Who asks, and whether anyone is still let in. Health checks carry no key and work to the very end."""
    if request.path.startswith("/health/"):
        return await handler(request)
    parts = request.app[PARTS]
    request[CALLER] = parts.keyring.caller(request.headers)
    with parts.drain.track():
        return await handler(request)


def _as_cleanup(
    enter: Callable[[], AbstractAsyncContextManager[None]],
) -> Callable[[web.Application], AsyncIterator[None]]:
    async def context(app: web.Application) -> AsyncIterator[None]:
        async with enter():
            yield

    return context
