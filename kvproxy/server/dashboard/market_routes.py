"""`MARKET_ROUTES` and `MARKET_FRAGMENTS`: misses, readers and keys, publishers, fleets and the store."""

from __future__ import annotations

from kvproxy.server.dashboard.dashboard_route import DashboardRoute, LiveFragment
from kvproxy.server.dashboard.fleet_view_route import fleet, replicas_fragment
from kvproxy.server.dashboard.keys_view_route import (
    close_tenant,
    create_grant,
    create_key,
    create_tenant,
    keys,
    revoke_grant,
    revoke_key,
)
from kvproxy.server.dashboard.misses_view_route import miss_difference, misses_by_cause, misses_fragment
from kvproxy.server.dashboard.overview_view_route import requests_until_now
from kvproxy.server.dashboard.publishers_view_route import publishers
from kvproxy.server.dashboard.statement_view_route import check_file, download_statement, statement
from kvproxy.server.dashboard.store_view_route import check, store, tiers_fragment

MARKET_ROUTES: tuple[DashboardRoute, ...] = (
    DashboardRoute("GET", "/ui/misses", misses_by_cause, ("read", "admin"), label="Misses"),
    DashboardRoute("GET", "/ui/misses/{answer}", miss_difference, ("read", "admin")),
    DashboardRoute("GET", "/ui/keys", keys, ("admin", "publish"), label="Readers and keys"),
    DashboardRoute("POST", "/ui/keys", create_key, ("admin",)),
    DashboardRoute("POST", "/ui/keys/{key}/revoke", revoke_key, ("admin",)),
    DashboardRoute("POST", "/ui/tenants", create_tenant, ("admin",)),
    DashboardRoute("POST", "/ui/tenants/{tenant}/close", close_tenant, ("admin",)),
    DashboardRoute("POST", "/ui/grants", create_grant, ("publish",)),
    DashboardRoute("POST", "/ui/grants/{grant}/revoke", revoke_grant, ("publish",)),
    DashboardRoute("GET", "/ui/publishers", publishers, ("ledger", "admin"), label="Publishers"),
    DashboardRoute("GET", "/ui/publishers/statement", statement, ("ledger", "admin")),
    DashboardRoute("GET", "/ui/publishers/statement.json", download_statement, ("ledger", "admin")),
    DashboardRoute("POST", "/ui/publishers/check", check_file, ("ledger", "admin")),
    DashboardRoute("GET", "/ui/fleet", fleet, ("admin",), label="Fleet"),
    DashboardRoute("GET", "/ui/store", store, ("admin",), label="Store"),
    DashboardRoute("POST", "/ui/store/check", check, ("admin",)),
)

MARKET_FRAGMENTS: tuple[LiveFragment, ...] = (
    LiveFragment("misses-found", misses_fragment, ("read", "admin"), every_s=5.0, stamp=requests_until_now),
    LiveFragment("fleet-replicas", replicas_fragment, ("admin",), every_s=2.0),
    LiveFragment("store-tiers", tiers_fragment, ("admin",), every_s=2.0),
)
