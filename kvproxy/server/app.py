"""`build_app`: the web application, with its routes, middlewares and response signals."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from aiohttp import web
from aiohttp.typedefs import Handler

from kvproxy.core import Permission
from kvproxy.server.auth import asked_retention, require
from kvproxy.server.components import CALLER, COMPONENTS, Components
from kvproxy.server.dashboard.dashboard_access import enter_view
from kvproxy.server.dashboard.dashboard_headers import guard_views
from kvproxy.server.dashboard.dashboard_problem import problem_view
from kvproxy.server.dashboard.dashboard_route import DASHBOARD, DashboardRoute, dashboard_row
from kvproxy.server.dashboard.dashboard_routes import open_dashboard
from kvproxy.server.middleware.connection import close_at_end
from kvproxy.server.middleware.cross_origin import ORIGINS, add_cors, cross_origin, refuse_foreign
from kvproxy.server.middleware.dashboard_paths import is_dashboards
from kvproxy.server.middleware.error_responses import ERROR_VIEW, errors
from kvproxy.server.middleware.metering import metering
from kvproxy.server.middleware.origins import Origins
from kvproxy.server.middleware.request_id import add_request_id, request_ids
from kvproxy.server.middleware.target import check_target
from kvproxy.server.middleware.traced_requests import traced
from kvproxy.server.middleware.watching import watched
from kvproxy.server.openapi.openapi_document import describe
from kvproxy.server.openapi.operations import OPERATIONS
from kvproxy.server.openapi.reference_pages import REFERENCE, ReferencePages
from kvproxy.server.requests.model_names import MODEL_NAMES, default_model, model_names
from kvproxy.server.requests.read_request import expect_continue, expect_upload
from kvproxy.server.requests.session_headers import session_hint

_OPEN = frozenset(operation.path for operation in OPERATIONS if operation.open)
_HARMLESS = frozenset(operation.path for operation in OPERATIONS if operation.open and not operation.key)
"""Paths of public content: pages of other origins may read them too."""

_NEEDS: dict[tuple[str, str], Permission] = {
    (o.method, o.path): o.needs for o in OPERATIONS if o.needs is not None
}


def build_app(components: Components) -> web.Application:
    """Build the application. ``components.lifespan`` is entered when it starts and left when it is cleaned up."""
    app = web.Application(
        middlewares=[
            *(traced, request_ids, watched, metering),
            *(dashboard_ready, errors, cross_origin, authenticate),
        ],
        client_max_size=components.max_body,
    )
    app[COMPONENTS] = components
    app[MODEL_NAMES] = model_names(components)
    app[ORIGINS] = Origins.of(components.cors_origins)
    app[REFERENCE] = ReferencePages(
        lambda: describe(OPERATIONS, served_name=default_model(components) or "model")
    )
    for operation in OPERATIONS:
        methods = ("GET", "HEAD") if operation.method == "GET" else (operation.method,)
        for method in methods:
            expect = expect_continue if operation.upload is None else expect_upload
            app.router.add_route(method, operation.route, operation.handler, expect_handler=expect)
    if components.dashboard:
        app[DASHBOARD] = open_dashboard(components.dashboard_secret)
        app[DASHBOARD].serve(app.router)
        app[ERROR_VIEW] = problem_view
        app.on_startup.append(_prepare_views)
        app.on_response_prepare.append(guard_views)
    app.on_response_prepare.append(add_request_id)
    app.on_response_prepare.append(add_cors)
    app.on_response_prepare.append(close_at_end)
    app.cleanup_ctx.extend(_as_cleanup(enter) for enter in components.lifespan)
    return app


@web.middleware
async def dashboard_ready(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware: have the dashboard's files in memory before any of its answers, errors among them."""
    if DASHBOARD in request.app and is_dashboards(request):
        await request.app[DASHBOARD].ready()
    return await handler(request)


@web.middleware
async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware: check the request's target, origin, API key and the key's permission, and count it as running.

    Open operations and OPTIONS need no key and are answered during a shutdown too. The dashboard's requests have a
    session instead of a key in a header.
    """
    check_target(request)
    if request.method == "OPTIONS":
        return await handler(request)
    if request.path not in _HARMLESS:
        refuse_foreign(request)
    if request.path in _OPEN:
        return await handler(request)
    if (row := dashboard_row(request)) is not None:
        return await _show(request, row, handler)
    components = request.app[COMPONENTS]
    caller = asked_retention(components.keyring.caller(request.headers), request.headers)
    if (hint := session_hint(request.headers)) is not None:
        caller = replace(caller, hint=hint)
    request[CALLER] = caller
    resource = request.match_info.route.resource
    method = "GET" if request.method == "HEAD" else request.method
    if resource is not None and (needed := _NEEDS.get((method, resource.canonical))) is not None:
        require(caller, needed)
    with components.drain.track():
        return await handler(request)


async def _prepare_views(app: web.Application) -> None:
    """Do before the first request what it would wait for: templates are compiled, and the documents put in order."""
    await app[DASHBOARD].ready()
    await app[COMPONENTS].publisher.prepare_lists()


async def _show(request: web.Request, row: DashboardRoute, handler: Handler) -> web.StreamResponse:
    """Answer a dashboard's request, as its session's caller; one that is not open counts as running."""
    caller = await enter_view(request, row)
    if caller is None:
        return await handler(request)
    request[CALLER] = caller
    with request.app[COMPONENTS].drain.track():
        return await handler(request)


def _as_cleanup(
    enter: Callable[[], AbstractAsyncContextManager[None]],
) -> Callable[[web.Application], AsyncIterator[None]]:
    async def context(app: web.Application) -> AsyncIterator[None]:
        async with enter():
            yield

    return context
