"""Types of ``POST /kv/v1/topup``: an amount in, the credited payment out."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationError
from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

from kvproxy.core import parse_nano
from kvproxy.errors import InvalidRequest
from kvproxy.wire.bodies.strict import Strict
from kvproxy.wire.bodies.validation_errors import invalid
from kvproxy.wire.market.quote_types import MoneyBody


class TopupBody(Strict):
    """The amount of a top-up."""

    amount: str = Field(
        max_length=24, description='A decimal of the host\'s currency as text, like "5" or "0.25".'
    )


class KvTopup(TypedDict):
    """A payment that was credited. ``credited`` is the amount rounded up to the token's units; ``transaction`` is the
    facilitator's."""

    object: Literal["kv_topup"]
    payment: str
    transaction: str
    credited: MoneyBody
    balance: MoneyBody


def parse_topup(body: dict[str, Any]) -> int:
    """Return the nano-units that a body asks for. Raises InvalidRequest."""
    try:
        return parse_nano(TopupBody.model_validate(body).amount)
    except ValidationError as e:
        raise invalid(e) from e
    except ValueError as e:
        raise InvalidRequest(f"Invalid 'amount': {e}.", param="amount") from e
