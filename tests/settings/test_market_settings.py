"""Sections of the market: their defaults, and values that are refused with what to write."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from sqlalchemy.engine import make_url

from kvproxy.settings.market_settings import BillingSettings, DatabaseSettings, HostSettings


def test_free_reads_go_on_without_a_database_unless_that_is_switched_off() -> None:
    assert DatabaseSettings().free_reads_while_down
    assert not DatabaseSettings(free_reads_while_down=False).free_reads_while_down


def test_a_databases_url_is_not_shown() -> None:
    assert "secret" not in repr(DatabaseSettings(url="postgresql+psycopg://kv:secret@db/kv"))


@pytest.mark.parametrize(
    "field", [{"name": "a host"}, {"url": "kv.example.com"}, {"url": "https://kv.example.com/"}]
)
def test_a_host_that_could_not_be_an_issuer_is_refused(field: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="pattern"):
        HostSettings.model_validate(field)


def test_shares_and_credits_are_read_exactly() -> None:
    billing = BillingSettings(default_publisher_share="12.5%", default_credit="5.00")
    assert (billing.publisher_ppm, billing.credit_nano) == (125_000, 5_000_000_000)
    assert BillingSettings(default_credit="unlimited").credit_nano is None


@pytest.mark.parametrize("field", [{"default_credit": "-1"}, {"default_publisher_share": "most"}])
def test_amounts_that_are_none_are_refused(field: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        BillingSettings.model_validate(field)


def test_a_password_apart_from_its_url_needs_no_escaping() -> None:
    database = DatabaseSettings(url="postgresql+psycopg://kv@db/kv", password="p@ss/w:rd% ü")
    assert database.address is not None
    url = make_url(database.address)
    assert (url.username, url.password, url.host, url.database) == ("kv", "p@ss/w:rd% ü", "db", "kv")
    assert "p@ss" not in repr(database)
    assert DatabaseSettings().address is None
    assert DatabaseSettings(url="sqlite:////x").address == "sqlite:////x"


@pytest.mark.parametrize("url", [None, "postgresql+psycopg://db/kv", "postgresql+psycopg://kv:other@db/kv"])
def test_a_password_without_its_place_is_refused(url: str | None) -> None:
    with pytest.raises(ValidationError, match="names a user and no password") as caught:
        DatabaseSettings(url=url, password="hidden-word")
    assert "hidden-word" not in str(caught.value.errors(include_input=False))
