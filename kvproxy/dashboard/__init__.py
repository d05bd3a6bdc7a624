"""The dashboard's contents: templates, styles and scripts, and pure functions from figures to what a template needs.

"Page" alone is a KV page in this package tree; a page in the browser is a *view*. Nothing here imports aiohttp: the
handlers are in :mod:`kvproxy.server.dashboard`. Everything works without JavaScript, which adds charts and live values.

To add a view, "misses" say:

1. ``dashboard/views/misses_view.py``: frozen dataclasses with what the template shows, and a pure function that makes
   them of the figures and a :class:`~kvproxy.dashboard.view_scope.ViewScope`. What a key may not see is left out here
   and not in the template; ``scope.tenant`` is what usage figures are asked by (None: all tenants, for an admin).
2. ``dashboard/templates/misses.html``: ``{% extends "layout.html" %}``, blocks ``title`` and ``content``. Parts are in
   ``macros.html`` (figure, empty, chart, sorted_head, csrf), filters in ``shown_values.py`` (``| share``,
   ``| seconds``, ``| money("USD")``, …). An unknown name is an error (StrictUndefined). No ``style=`` and no
   ``on…=``: the policy (``dashboard_headers.py``) forbids both.
3. ``server/dashboard/misses_view_route.py``: ``async def misses_view(request)``, which ends with
   ``return view_answer(request, "misses.html", {"misses": shown})``; ``scope_of(request)`` is the ViewScope,
   ``request[CALLER]`` the caller, exactly as in the routes of the API. Errors are raised as there, and become HTML.
4. A row in ``server/dashboard/dashboard_routes.py``: ``DashboardRoute("GET", "/ui/misses", misses_view, ("read",),
   label="Misses")``. A label makes it an entry of the navigation, in the table's order, for keys that have one of the
   permissions.

An action is a row ``DashboardRoute("POST", "/ui/documents/{ref}/pin", pin_action, ("publish",))`` and a
``<form method="post">`` with ``{{ ui.csrf(layout) }}`` in it (htmx sends the token by itself). Origin and token are
checked before the handler runs; it reads ``await read_form(request)`` and ends with ``return done_answer(request,
"Pinned handbook@3.", "/ui/documents/handbook")``, a redirect to a view that says so once. ``data-confirm`` on the form
asks first. A part that htmx loads (``hx-get``) is answered by ``fragment_answer(request, "fragments/x.html", …)``.

Live values: put the part of the template into ``templates/fragments/misses_rows.html``, include it in the view within
``<section data-live="misses-rows">``, and add ``LiveFragment("misses-rows", render, ("read",), every_s=2.0)`` to
LIVE_FRAGMENTS; ``async def render(app, scope) -> str`` renders that file. It runs once a tick for all who follow it
with the same permissions and scope, only while someone does, and is sent only where it differs. Keep it small, and free
of clocks that change each second. ``data-announce="…"`` in it is read out by screen readers, once a minute at most.

A chart is a :class:`~kvproxy.dashboard.chart_table.ChartTable` and ``{{ ui.chart(shown.chart) }}``: the table is there
without a script, and the chart is drawn from it. A table that sorts without a script takes its order from
:class:`~kvproxy.dashboard.table_order.TableOrder` and its heads from ``ui.sorted_head``; put it into
``<div class="scroll" tabindex="0" role="region" aria-label="…">``, so that it scrolls and not the view.
"""
