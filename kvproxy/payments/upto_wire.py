"""The intent ``upto`` on MPP's wire, in the names of ``evm/charge`` and of x402; pympp 0.16 has none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from kvproxy.errors import PaymentRequired

_ADDRESS = r"^0x[0-9a-fA-F]{40}$"
_NUMBER = r"^[0-9]{1,78}$"


class UptoDetails(BaseModel):
    """The EVM details of an ``upto`` request, in the names of ``evm/charge``; the facilitator is a part of the
    signature."""

    model_config = ConfigDict(populate_by_name=True, extra="forbid")

    chain_id: int = Field(alias="chainId")
    credential_types: list[str] = Field(alias="credentialTypes", default=["permit2"])
    decimals: int
    facilitator: str = Field(pattern=_ADDRESS)


class UptoRequest(BaseModel):
    """MPP's request of the intent ``upto``: ``amount`` is the most that is taken, in the token's units."""

    model_config = ConfigDict(populate_by_name=True, extra="forbid")

    amount: str = Field(pattern=_NUMBER)
    currency: str = Field(pattern=_ADDRESS)
    recipient: str = Field(pattern=_ADDRESS)
    method_details: UptoDetails = Field(alias="methodDetails")


class UptoPayload(BaseModel):
    """MPP's payload of the intent ``upto``: what x402's client signs."""

    model_config = ConfigDict(populate_by_name=True, extra="forbid")

    permit2_authorization: dict[str, Any] = Field(alias="permit2Authorization")
    signature: str = Field(pattern=r"^0x[0-9a-fA-F]{130}$")


@dataclass(frozen=True, slots=True)
class SignedPermit:
    """A payload whose form is right; its signature is the facilitator's to check."""

    body: Mapping[str, Any]
    payer: str
    nonce: str
    units: int
    deadline: int


def signed_permit(payload: object) -> SignedPermit:
    """Read a payload's form. Raises PaymentRequired."""
    if isinstance(payload, BaseModel):
        payload = payload.model_dump(by_alias=True)
    try:
        assert isinstance(payload, Mapping)
        permit = payload["permit2Authorization"]
        numbers = [str(permit["permitted"]["amount"]), str(permit["nonce"]), str(permit["deadline"])]
        if not all(re.fullmatch(_NUMBER, number) for number in numbers):
            raise ValueError(numbers)
        if re.fullmatch(_ADDRESS, str(permit["from"])) is None:
            raise ValueError(permit["from"])
        # Exactly the fields that are signed, so that nothing else comes into the table and to the facilitator.
        body = {"permit2Authorization": permit, "signature": str(payload["signature"])}
    except (AssertionError, KeyError, TypeError, ValueError) as e:
        raise PaymentRequired("The payment's payload is no Permit2 authorisation; ask for a challenge") from e
    return SignedPermit(body, str(permit["from"]), numbers[1], int(numbers[0]), int(numbers[2]))
