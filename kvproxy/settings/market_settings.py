"""Sections of the market: the database of accounts and ledger, and what billing starts from."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, Field, model_validator

from kvproxy.core.money import checked_currency, parse_nano
from kvproxy.settings.section import Section
from kvproxy.tariffs.terms_text import parse_percent


class DatabaseSettings(Section):
    """The database of tenants, keys, grants and the ledger."""

    url: str | None = Field(default=None, min_length=1, repr=False)
    """A URL of SQLAlchemy, which may hold a password; None: SQLite in the store's folder."""
    password: str | None = Field(default=None, min_length=1, repr=False)
    """The password of ``url``, as it is: in the URL itself some characters would have to be escaped."""
    free_reads_while_down: bool = True
    """True: requests that cost nothing are answered while the database is away, and booked when it is back. False: none
    are. Those that cost something are answered within what was set aside for their tenant before, and no further."""

    @model_validator(mode="after")
    def _has_place_for_its_password(self) -> DatabaseSettings:
        parts = urlsplit(self.url or "")
        if self.password is not None and (not parts.username or parts.password is not None):
            raise ValueError("password goes with a url that names a user and no password")
        return self

    @property
    def address(self) -> str | None:
        """``url`` with ``password`` in it; None: SQLite in the store's folder."""
        if self.url is None or self.password is None:
            return self.url
        scheme, _, rest = self.url.partition("://")
        user, _, host = rest.partition("@")
        return f"{scheme}://{user}:{quote(self.password, safe='')}@{host}"


class HostSettings(Section):
    """The host as its own description, its receipts and its quotes name it."""

    name: str | None = Field(default=None, min_length=1, max_length=128, pattern=r"^[!-~]+$")
    """An origin without spaces, the issuer of receipts; None: this machine's name."""
    url: str | None = Field(default=None, pattern=r"^https?://\S+[^/\s]$")
    """The public address that readers reach it at."""
    contact: str | None = Field(default=None, min_length=1, max_length=256)


def _percent(text: str) -> str:
    parse_percent(text)
    return text


def _credit(text: str) -> str:
    if text != "unlimited" and parse_nano(text) < 0:
        raise ValueError('write unlimited, or how far a balance may go below zero, like "5.00"')
    return text


class BillingSettings(Section):
    """The currency, and the defaults of publishers and of new tenants. It counts with a tariff only."""

    currency: Annotated[str, AfterValidator(checked_currency)] = "USD"
    default_publisher_share: Annotated[str, AfterValidator(_percent)] = "100%"
    """The publisher's part of its own price, where neither its terms nor the tariff say; the rest is the host's."""
    default_credit: Annotated[str, AfterValidator(_credit)] = "0"
    """The amount by which a tenant's balance may go below zero, where nothing else is set for it; or ``unlimited``."""

    @property
    def publisher_ppm(self) -> int:
        """``default_publisher_share`` in millionths."""
        return parse_percent(self.default_publisher_share)

    @property
    def credit_nano(self) -> int | None:
        """``default_credit`` in nano-units; None without a limit."""
        return None if self.default_credit == "unlimited" else parse_nano(self.default_credit)
