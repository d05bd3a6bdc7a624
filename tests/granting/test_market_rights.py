"""The market's answers about granted documents, on real accounts, grants and terms."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvproxy.accounts.accounts import Accounts
from kvproxy.accounts.grant_values import Grant
from kvproxy.accounts.grants import Grants
from kvproxy.core import Caller, DocumentRef
from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.documents.library.library import Library
from kvproxy.errors import DocumentNotFound, PermissionDenied
from kvproxy.granting.market_rights import MarketRights, now_in_ms
from kvproxy.tariffs import DocumentTerms
from kvproxy.tariffs.recorded_tariffs import Tariffs
from kvproxy.tariffs.terms_book import TermsBook
from tests.documents.library.test_library import front, known

TEXT = "What the house sells is written here. "


class Shop:
    """Accounts of three tenants, and a library with a granted document of the first."""

    def __init__(self, database: Database) -> None:
        METADATA.create_all(database.engine)
        self.accounts = Accounts(database, b"secret" * 6)
        self.grants = Grants(database)
        self.terms = TermsBook(database, Tariffs(database))
        self.accounts.load()
        self.callers = {
            name: Caller(name, self.accounts.create_tenant(name).scope) for name in ("acme", "bob", "carol")
        }
        self.grants.load()
        self.late_ms = 0
        """Milliseconds that the clock of the rights is ahead of the database's."""
        self.rights = MarketRights(self.accounts, self.grants, self.terms, self.now_ms)
        self.library = Library(self.rights)
        self.library.add(known("manual", TEXT, 1, self.callers["acme"], visibility="granted"))
        self.library.add(known("manual", TEXT + "More.", 2, self.callers["acme"], visibility="granted"))

    def now_ms(self) -> int:
        return now_in_ms() + self.late_ms

    def grant(self, reader: str | None, **fields: object) -> Grant:
        wanted = Grant("", "acme", "manual", None, "tenant" if reader else "everybody", reader, 0)
        return self.grants.create(replace(wanted, **fields))  # type: ignore[arg-type]  # fields by name

    def read(self, caller: Caller, version: int | None = None) -> str | None:
        return self.library.named(DocumentRef("manual", version), caller).grant


@pytest.fixture
def shop(a_database: Database) -> Shop:
    return Shop(a_database)


def test_a_grant_lets_its_reader_in_until_it_is_revoked(shop: Shop) -> None:
    bob, carol = shop.callers["bob"], shop.callers["carol"]
    grant = shop.grant("bob")
    assert shop.read(bob) == grant.id and front(shop.library, TEXT + "Why?", bob) == "manual@1"
    shop.grants.revoke(grant.id)
    with pytest.raises(PermissionDenied, match=f"{grant.id} was revoked"):
        shop.read(bob)
    assert front(shop.library, TEXT + "Why?", bob) is None
    with pytest.raises(DocumentNotFound):
        shop.read(carol)
    again = shop.grant("bob", version=1)
    assert shop.read(bob) == again.id, "a revoked one stands in nobody's way"


def test_an_expired_or_used_up_grant_is_told_to_its_reader_alone(shop: Shop, a_database: Database) -> None:
    bob = shop.callers["bob"]
    grant = shop.grant("bob", expires_ms=shop.now_ms() + 1000)
    assert shop.read(bob) == grant.id
    shop.late_ms = 2000
    with pytest.raises(PermissionDenied, match="has expired"):
        shop.read(bob)
    shop.late_ms = 0
    shop.grants.revoke(grant.id)
    capped = shop.grant("bob", max_reads=1)
    assert shop.read(bob) == capped.id
    with a_database.transaction() as db:
        shop.grants.note_use(db, capped.id, 10, 10)
    with pytest.raises(PermissionDenied, match="is used up"):
        shop.read(bob)
    for other in (shop.callers["carol"], Caller("nobody", "tenant:x")):
        with pytest.raises(DocumentNotFound):
            shop.read(other)


def test_everybody_may_be_let_in(shop: Shop) -> None:
    grant = shop.grant(None, version=2)
    for name in ("bob", "carol"):
        assert shop.read(shop.callers[name]) == grant.id
        with pytest.raises(DocumentNotFound):
            shop.read(shop.callers[name], version=1)


def test_text_senders_are_served_by_the_publishers_own_choice(shop: Shop) -> None:
    carol = shop.callers["carol"]
    assert front(shop.library, TEXT, carol) is None, "no choice opens nothing, though free terms would"
    shop.terms.set_terms("manual", "acme", DocumentTerms(text_readers="discount"))
    found = shop.library.find_at_front(TEXT, carol)
    assert found is not None and (found.grant, found.by_reference) == (None, False)
    shop.terms.set_terms("manual", "acme", DocumentTerms(text_readers="full_price"))
    assert front(shop.library, TEXT, carol) is None


def test_terms_for_a_later_moment_count_from_then_on(shop: Shop) -> None:
    carol = shop.callers["carol"]
    assert front(shop.library, TEXT, carol) is None
    later = shop.now_ms() + 600_000
    shop.terms.set_terms("manual", "acme", DocumentTerms(text_readers="discount"), later)
    before = shop.rights.policies
    assert front(shop.library, TEXT, carol) is None and shop.rights.policies == before
    shop.late_ms = 600_001
    assert shop.rights.policies != before
    assert front(shop.library, TEXT, carol) == "manual@1"
    shop.terms.set_terms("manual", "acme", DocumentTerms(text_readers="full_price"), later + 600_000)
    shop.late_ms = 1_200_001
    shop.terms.set_terms("manual", "bob", DocumentTerms())
    assert front(shop.library, TEXT, carol) is None, "terms of another publisher change nothing"


def test_publishers_are_named_by_their_scope(shop: Shop) -> None:
    assert shop.rights.publisher(shop.callers["acme"].scope) == "acme"
    assert shop.rights.publisher("tenant:x") == ""
