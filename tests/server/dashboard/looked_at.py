"""Sample paths and forms of every route of the dashboard, which every key asks for: one row for each route."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from tests.server.dashboard.canary_house import EVIL, TENANTS, CanaryHouse, Viewer

NOWHERE = "nobodys-private-plan"
"""A document that nobody has published."""


@dataclass(frozen=True)
class Look:
    """One request of a browser; a POST where there are fields."""

    path: str
    fields: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def sent(self) -> str:
        """All words of it: what an answer repeats of them, it has from there."""
        return " ".join((self.path, *(self.fields or {}).values()))


Looks = Callable[[CanaryHouse, Viewer], Iterator[Look]]


def plain(*paths: str) -> Looks:
    """Look at these paths."""

    def looks(house: CanaryHouse, viewer: Viewer) -> Iterator[Look]:
        yield from map(Look, paths)

    return looks


def foreign(house: CanaryHouse, viewer: Viewer) -> list[str]:
    """Return the ids of all documents but the viewer's own, and one that does not exist."""
    return [*(id for tenant, id in house.documents if tenant != viewer.tenant), NOWHERE]


def documents(house: CanaryHouse, viewer: Viewer) -> Iterator[Look]:
    """Look at every document, in each version and with each question to confirm."""
    for id in (*(id for _, id in house.documents), NOWHERE):
        for path in (id, f"{id}@1", f"{id}@2", f"{id}@stable", f"{id}?confirm=revoke"):
            yield Look(f"/ui/documents/{path}")
        yield Look(f"/ui/documents/{id}", headers={"HX-Request": "true"})


def actions(house: CanaryHouse, viewer: Viewer) -> Iterator[Look]:
    """Try to change every document of others."""
    for id in foreign(house, viewer):
        for action in ("warm", "pin", "unpin", "verify", "revoke", "delete"):
            yield Look(f"/ui/documents/{id}@1", {"action": action, "reason": "because"})
    yield Look(f"/ui/documents/{NOWHERE}", {"action": "sell"})
    yield Look(f"/ui/documents/{EVIL}", {"action": EVIL})


def questions(*sides: str) -> Looks:
    """Ask about every document."""

    def looks(house: CanaryHouse, viewer: Viewer) -> Iterator[Look]:
        path = "/ui/playground/answer" if sides else "/ui/playground"
        for _, id in (*house.documents, ("", NOWHERE)):
            for side in sides or ("",):
                fields = {"document": f"{id}@1", "question": "Why?", "tokens": "2", "side": side}
                yield Look(path, fields)

    return looks


def publications(house: CanaryHouse, viewer: Viewer) -> Iterator[Look]:
    """Publish under an id that another tenant has already, for oneself."""
    for tenant, id in house.documents:
        if tenant != viewer.tenant and "private" in id:
            text = f"Another text of {viewer.name}, which takes an id that is taken."
            yield Look("/ui/documents", {"id": id, "text": text, "visibility": "private"})


def answers(house: CanaryHouse, viewer: Viewer) -> Iterator[Look]:
    """Look at what differed in every tenant's misses."""
    for id in (
        *(id for ids in house.answers.values() for id in ids),
        "chatcmpl-nothing",
        quote(EVIL, safe=""),
    ):
        yield Look(f"/ui/misses/{id}")
        yield Look(f"/ui/misses/{id}", headers={"HX-Request": "true"})


def periods(path: str) -> Looks:
    """Look at every tenant's income."""

    def looks(house: CanaryHouse, viewer: Viewer) -> Iterator[Look]:
        yield Look(path)
        yield Look(f"{path}?publisher={EVIL}&from={EVIL}&to={EVIL}")
        for tenant in (*TENANTS, "nobody"):
            yield Look(f"{path}?publisher={tenant}")
            yield Look(f"{path}?publisher={tenant}&from=2026-01-01&to=2099-01-01")

    return looks


def keys_of_others(house: CanaryHouse, viewer: Viewer) -> Iterator[Look]:
    """Try to revoke every key; an operator, who may, one that is not there."""
    ids = ["key_0123456789abcdef"] if "admin" in viewer.scopes else [*house.key_ids.values()]
    for id in ids:
        yield Look(f"/ui/keys/{quote(id)}/revoke", {})


def grants_of_others(house: CanaryHouse, viewer: Viewer) -> Iterator[Look]:
    """Try to revoke every grant of others."""
    for tenant, ids in house.grants.items():
        for id in ids if tenant != viewer.tenant else ():
            yield Look(f"/ui/grants/{quote(id)}/revoke", {})
    yield Look("/ui/grants/grant_0123456789abcdef/revoke", {})


def new_grants(house: CanaryHouse, viewer: Viewer) -> Iterator[Look]:
    """Grant every document of others, to oneself."""
    for id in foreign(house, viewer):
        yield Look("/ui/grants", {"document": id, "reader": "tenant", "id": viewer.tenant})
    yield Look("/ui/grants", {"document": EVIL, "reader": EVIL, "id": EVIL, "price": EVIL, "max_reads": EVIL})


def files(house: CanaryHouse, viewer: Viewer) -> Iterator[Look]:
    """Check what is no statement; forms of tests carry no files."""
    yield Look("/ui/publishers/check", {"statement": "none"})


def tenants(house: CanaryHouse, viewer: Viewer) -> Iterator[Look]:
    """Try to close every tenant; an operator, who may, one that is not there."""
    for tenant in ("nobody",) if "admin" in viewer.scopes else TENANTS:
        yield Look(f"/ui/tenants/{tenant}/close", {"closed": "true"})


LOOKS: Mapping[tuple[str, str], Looks] = {
    ("GET", "/ui"): plain("/ui"),
    ("GET", "/ui/overview"): plain("/ui/overview"),
    ("GET", "/ui/playground"): plain(
        "/ui/playground",
        f"/ui/playground?document={EVIL}&question={EVIL}&model={EVIL}",
        "/ui/playground?document=acme-private-plan@1",
    ),
    ("POST", "/ui/playground"): questions(),
    ("POST", "/ui/playground/answer"): questions("cold", "warm"),
    ("POST", "/ui/playground/example"): lambda house, viewer: iter([Look("/ui/playground/example", {})]),
    ("GET", "/ui/documents"): plain(
        "/ui/documents",
        "/ui/documents?q=plan",
        f"/ui/documents?q={EVIL}&sort={EVIL}&visibility={EVIL}&{EVIL}={EVIL}",
        "/ui/documents?visibility=private",
        "/ui/documents?visibility=granted",
        "/ui/documents?own=1",
        "/ui/documents?sort=reads&order=desc&start=1",
        "/ui/documents?sort=last&order=desc",
        "/ui/documents?sort=saved&order=desc",
    ),
    ("POST", "/ui/documents"): publications,
    ("GET", "/ui/documents/{document:.+}"): documents,
    ("POST", "/ui/documents/{document:.+}"): actions,
    ("GET", "/ui/misses"): plain(
        "/ui/misses",
        "/ui/misses?whose=all",
        "/ui/misses?whose=own",
        "/ui/misses?cause=no-document",
        f"/ui/misses?cause={EVIL}",
    ),
    ("GET", "/ui/misses/{answer}"): answers,
    ("GET", "/ui/keys"): plain(
        "/ui/keys", f"/ui/keys?tenant={EVIL}&keys={EVIL}", "/ui/keys?tenant=acme", "/ui/keys?tenant=nobody"
    ),
    ("POST", "/ui/keys"): lambda house, viewer: iter([Look("/ui/keys", {"tenant": EVIL, "label": EVIL})]),
    ("POST", "/ui/keys/{key}/revoke"): keys_of_others,
    ("POST", "/ui/tenants"): lambda house, viewer: iter([Look("/ui/tenants", {"id": EVIL, "credit": EVIL})]),
    ("POST", "/ui/tenants/{tenant}/close"): tenants,
    ("POST", "/ui/grants"): new_grants,
    ("POST", "/ui/grants/{grant}/revoke"): grants_of_others,
    ("GET", "/ui/publishers"): periods("/ui/publishers"),
    ("GET", "/ui/publishers/statement"): periods("/ui/publishers/statement"),
    ("GET", "/ui/publishers/statement.json"): periods("/ui/publishers/statement.json"),
    ("POST", "/ui/publishers/check"): files,
    ("GET", "/ui/fleet"): plain(
        "/ui/fleet",
        f"/ui/fleet?id={EVIL}&fleet={EVIL}&documents={EVIL}",
        "/ui/fleet?id=plan",
        "/ui/fleet?fleet=nothing",
    ),
    ("GET", "/ui/store"): plain("/ui/store"),
    ("POST", "/ui/store/check"): lambda house, viewer: iter(
        [Look("/ui/store/check", {"deep": "1"}), Look("/ui/store/check", {}, {"HX-Request": "true"})]
    ),
    ("GET", "/ui/requests"): plain(
        "/ui/requests", *(f"/ui/requests?outcome={o}" for o in ("hit", "miss", "refused"))
    ),
    ("GET", "/ui/login"): plain(
        "/ui/login", "/ui/login?next=/ui/documents/acme-private-plan", f"/ui/login?next=/ui/{EVIL}"
    ),
    ("POST", "/ui/login"): lambda house, viewer: iter([Look("/ui/login", {"key": "none", "next": "/ui"})]),
    ("POST", "/ui/logout"): lambda house, viewer: iter([Look("/ui/logout", {})]),
    ("GET", "/ui/events"): plain("/ui/events?live=nothing"),
    ("GET", "/ui/static/{version}/{name}"): plain("/ui/static/x/kvproxy.js", "/ui/static/x/nothing"),
}
"""By method and path, as the table of routes has them."""
