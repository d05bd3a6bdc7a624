"""Bodies that make and change keys, tenants and grants. Unknown fields are refused: a misspelt cap must not be none."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from kvproxy.accounts.account_values import (
    MOST_LABEL,
    TENANT_PATTERN,
    Budget,
    CreditLimit,
    KeyOrder,
    Period,
    now_ms,
    storable,
)
from kvproxy.accounts.grant_values import Grant
from kvproxy.core import DEFAULT_PERMISSIONS, IsolateBy, Permission, parse_nano
from kvproxy.core.money import MOST_NANO
from kvproxy.errors import InvalidRequest
from kvproxy.wire.kv_documents.document_ref import REF_PATTERN, parse_document_ref

MOST_SECONDS = 100 * 366 * 86_400
"""Seconds that a key, a grant or an overlap may last."""

_MONEY = "^[0-9]{1,10}(\\.[0-9]{1,9})?$"


def _checked_money(text: str) -> str:
    # An error never repeats what was sent, which may be no text that an answer can hold.
    if re.fullmatch(_MONEY, text) is None:
        raise ValueError("must be an amount as decimal text, like 2.50, not below zero")
    parse_nano(text)
    return text


def _checked_text(text: str) -> str:
    if not storable(text):
        raise ValueError("must be text without NUL and lone surrogates")
    return text


def _checked_credit(text: str) -> str:
    return text if text == "unlimited" else _checked_money(text)


Amount = Annotated[str, AfterValidator(_checked_money), Field(json_schema_extra={"pattern": _MONEY})]
"""Decimal text in the host's currency."""

CreditWords = Annotated[str, AfterValidator(_checked_credit)]

Count = Annotated[int, Field(ge=0, le=MOST_NANO)]

Seconds = Annotated[int, Field(ge=1, le=MOST_SECONDS)]


class _AccountBody(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class BudgetBody(_AccountBody):
    """Limits for one period, in place of those before; a budget without any limit removes them."""

    period: Period = Field(description="The calendar minute, day or month, in UTC.")
    tokens: Count | None = Field(default=None, description="Tokens of prompts and answers.")
    amount: Amount | None = Field(default=None, description="Money, as decimal text in the host's currency.")
    requests: Count | None = None

    def budget(self, subject: str) -> Budget:
        """Return the budget of a subject."""
        return Budget(subject, self.period, self.tokens, _nano(self.amount), self.requests)


class NewKeyBody(_AccountBody):
    """The body that makes an API key."""

    tenant: str = Field(min_length=1, max_length=64, description="The name of a tenant that there is.")
    scopes: list[Permission] = Field(
        default=sorted(DEFAULT_PERMISSIONS), min_length=1, description="Default: all but admin."
    )
    label: str | None = Field(default=None, max_length=MOST_LABEL, description="A note for people.")
    expires_in_s: Seconds | None = Field(default=None, description="Default: it never expires.")
    isolate_by: IsolateBy | None = Field(
        default=None, description="The request's field by which a gateway separates people who share the key."
    )

    def order(self) -> KeyOrder:
        """Return the order for the key."""
        expires = _end(self.expires_in_s)
        return KeyOrder(self.tenant, frozenset(self.scopes), self.label, expires, self.isolate_by)


class KeyChangeBody(_AccountBody):
    """The body that changes an API key's budgets."""

    budgets: list[BudgetBody] = Field(
        max_length=3, description="Periods that are not named stay as they are."
    )


class NewTenantBody(_AccountBody):
    """The body that makes a tenant."""

    id: str = Field(
        description="1 to 64 letters, digits and . _ -, the first a letter or digit.",
        json_schema_extra={"pattern": f"^{TENANT_PATTERN}$"},
    )
    credit: CreditWords | None = Field(
        default=None,
        description="How far the balance may go below zero: an amount, or 'unlimited'. Default: the configured one.",
    )

    def credit_limit(self) -> CreditLimit | None:
        """Return the credit; None for the configured one."""
        return _credit(self.credit)


class TenantChangeBody(_AccountBody):
    """The body that changes a tenant. What is not named stays as it is."""

    credit: CreditWords | None = Field(
        default=None, description="How far the balance may go below zero: an amount, or 'unlimited'."
    )
    closed: bool | None = Field(default=None, description="True: all its keys are refused.")
    budgets: list[BudgetBody] = Field(
        default=[], max_length=3, description="Periods that are not named stay as they are."
    )

    def credit_limit(self) -> CreditLimit | None:
        """Return the credit; None to leave it as it is."""
        return _credit(self.credit)


class NewGrantBody(_AccountBody):
    """The body that grants a document of the caller's own to one reader, or to everybody."""

    document: str = Field(
        description="All versions of `handbook`, or one: `handbook@3`. It may be published later.",
        json_schema_extra={"pattern": REF_PATTERN},
    )
    reader: Literal["key", "tenant", "everybody"]
    id: str | None = Field(
        default=None, min_length=1, max_length=64, description="The reader: a key's id, or a tenant's name."
    )
    price: Annotated[str, AfterValidator(_checked_text)] | None = Field(
        default=None,
        max_length=40,
        description="Instead of the document's price: `free`, a share of what a read saves like `40%`, or an amount "
        "for a thousand tokens like `0.002`.",
    )
    max_reads: Count | None = None
    max_tokens: Count | None = Field(default=None, description="Cached tokens, over all reads.")
    max_amount: Amount | None = Field(default=None, description="Money, over all reads.")
    expires_in_s: Seconds | None = None

    @model_validator(mode="after")
    def _one_reader(self) -> NewGrantBody:
        if (self.id is None) != (self.reader == "everybody"):
            raise ValueError("name the reader in 'id', and leave it out for reader 'everybody'")
        return self

    def grant(self, publisher: str) -> Grant:
        """Return the grant, without id, time and terms. Raises InvalidRequest for what cannot name a document."""
        ref = parse_document_ref(self.document, param="document")
        if ref.alias is not None:
            raise InvalidRequest(
                f"A grant is for all versions, '{ref.id}', or for one by its number: an alias moves.",
                param="document",
            )
        return Grant(
            id="",
            publisher=publisher,
            document=ref.id,
            version=ref.version,
            reader_kind=self.reader,
            reader=self.id,
            created_ms=0,
            max_reads=self.max_reads,
            max_tokens=self.max_tokens,
            max_nano=_nano(self.max_amount),
            expires_ms=_end(self.expires_in_s),
        )


def _nano(amount: str | None) -> int | None:
    return None if amount is None else parse_nano(amount)


def _credit(text: str | None) -> CreditLimit | None:
    return None if text is None else CreditLimit(None if text == "unlimited" else parse_nano(text))


def _end(seconds: int | None) -> int | None:
    return None if seconds is None else now_ms() + 1000 * seconds
