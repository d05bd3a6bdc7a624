"""`SimulatedChain`: one token and x402's proxy contract, in memory or a file, for tests and development.

It answers the calls that x402's own facilitator makes to a chain, and its contracts check what the real ones check:
signature, nonce, window, amount, destination, facilitator and balance. Two things are simplified: every wallet has
approved Permit2 without a limit, and no wallet is a contract, so that only keys sign.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvproxy.payments.token_asset import TokenAsset

_UNLIMITED = 2**256 - 1


class Reverted(Exception):
    """A contract refused a call; the text is the reason that the real contract gives."""


@dataclass(frozen=True, slots=True)
class _Transfer:
    """A transfer that a signature allows: ``nonce`` is spent by it."""

    payer: str
    to: str
    units: int
    nonce: str


class SimulatedChain:
    """Balances and spent nonces of one token. Not safe from several threads: `LocalFacilitator` has the lock."""

    def __init__(
        self,
        asset: TokenAsset,
        facilitator: str,
        wallets: Mapping[str, int] | None = None,
        file: Path | None = None,
    ) -> None:
        """Begin with ``wallets`` (units by address), or with what ``file`` has from before.

        Example:
            ``SimulatedChain(KNOWN_ASSETS["base-sepolia-usdc"], address, {wallet.address: 5_000_000})``
        """
        self._asset = asset
        self._facilitator = facilitator
        self._file = file
        self._balances = {address.lower(): units for address, units in (wallets or {}).items()}
        self._spent: dict[str, str] = {}
        if file is not None and file.exists():
            kept = json.loads(file.read_text(encoding="utf-8"))
            self._balances, self._spent = kept["balances"], kept["spent"]

    def balance(self, address: str) -> int:
        """Return a wallet's units."""
        return self._balances.get(address.lower(), 0)

    def transaction_of(self, payer: str, nonce: str) -> str | None:
        """Return the transaction that spent a payer's nonce; None when none did."""
        return self._spent.get(_spending(payer, nonce))

    # What x402's facilitator calls, by the names of its FacilitatorEvmSigner.

    def get_addresses(self) -> list[str]:
        """Return the facilitator's own address."""
        return [self._facilitator]

    def get_code(self, address: str) -> bytes:
        """Return some code for the token alone: wallets are keys."""
        return b"\x01" if address.lower() == self._asset.address.lower() else b""

    def read_contract(self, address: str, abi: Any, function_name: str, *args: Any) -> Any:
        """Answer a call without an effect; one that would transfer is checked as if it did.

        Example: ``chain.read_contract(asset.address, abi, "balanceOf", wallet)``.
        """
        if function_name == "balanceOf":
            return self.balance(args[0])
        if function_name == "allowance":
            return _UNLIMITED
        self._checked(address, function_name, args)
        return None

    def write_contract(
        self, address: str, abi: Any, function_name: str, *args: Any, data_suffix: str | None = None
    ) -> str:
        """Transfer, and return the transaction's hash. Raises Reverted.

        Example: ``chain.write_contract(asset.address, abi, "transferWithAuthorization", *signed)``.
        """
        transfer = self._checked(address, function_name, args)
        transaction = "0x" + secrets.token_hex(32)
        payer, to = transfer.payer.lower(), transfer.to.lower()
        self._balances[payer] = self.balance(payer) - transfer.units
        self._balances[to] = self.balance(to) + transfer.units
        self._spent[_spending(payer, transfer.nonce)] = transaction
        self._keep()
        return transaction

    def wait_for_transaction_receipt(self, tx_hash: str) -> Any:
        """Return the receipt of a transaction, which is final at once."""
        from x402.mechanisms.evm.types import TransactionReceipt

        return TransactionReceipt(
            status=int(tx_hash in self._spent.values()), block_number=1, tx_hash=tx_hash
        )

    def _checked(self, address: str, function: str, args: tuple[Any, ...]) -> _Transfer:
        from x402.mechanisms.evm.constants import X402_UPTO_PERMIT2_PROXY_ADDRESS

        token, proxy = self._asset.address.lower(), X402_UPTO_PERMIT2_PROXY_ADDRESS.lower()
        if address.lower() == token and function == "transferWithAuthorization" and len(args) == 9:
            transfer = self._authorised(*args)
        elif address.lower() == proxy and function == "settle":
            transfer = self._permitted(*args)
        else:
            raise Reverted(f"execution reverted: no function {function} at {address}")
        if self.transaction_of(transfer.payer, transfer.nonce) is not None:
            raise Reverted("execution reverted: authorization is used or canceled (InvalidNonce)")
        if self.balance(transfer.payer) < transfer.units:
            raise Reverted("execution reverted: transfer amount exceeds balance")
        return transfer

    def _authorised(
        self,
        payer: str,
        to: str,
        units: int,
        after: int,
        before: int,
        nonce: bytes,
        v: int,
        r: bytes,
        s: bytes,
    ) -> _Transfer:
        """Check EIP-3009's ``transferWithAuthorization``."""
        from x402.mechanisms.evm.eip712 import hash_eip3009_authorization
        from x402.mechanisms.evm.types import ExactEIP3009Authorization
        from x402.mechanisms.evm.verify import verify_eoa_signature

        now = int(time.time())
        if not after <= now:
            raise Reverted("execution reverted: authorization is not yet valid")
        if not now < before:
            raise Reverted("execution reverted: authorization is expired")
        signed = ExactEIP3009Authorization(payer, to, str(units), str(after), str(before), "0x" + nonce.hex())
        asset = self._asset
        digest = hash_eip3009_authorization(signed, asset.chain_id, asset.address, asset.name, asset.version)
        if not verify_eoa_signature(digest, r + s + bytes([v]), payer):
            raise Reverted("execution reverted: invalid signature")
        return _Transfer(payer, to, units, "0x" + nonce.hex())

    def _permitted(
        self, permit: Any, units: int, owner: str, witness: tuple[str, str, int], signature: bytes
    ) -> _Transfer:
        """Check the ``settle`` of x402's upto proxy: a part of what Permit2's witness allows."""
        (token, most), nonce, deadline = permit
        to, facilitator, after = witness
        now = int(time.time())
        if token.lower() != self._asset.address.lower():
            raise Reverted("execution reverted: InvalidToken")
        if facilitator.lower() != self._facilitator.lower():
            raise Reverted("execution reverted: UnauthorizedFacilitator")
        if now > deadline:
            raise Reverted("execution reverted: SignatureExpired")
        if now < after:
            raise Reverted("execution reverted: PaymentTooEarly")
        if not 0 < units <= most:
            raise Reverted("execution reverted: AmountExceedsPermitted")
        if not self._signed_permit(permit, owner, witness, signature):
            raise Reverted("execution reverted: InvalidSignature")
        return _Transfer(owner, to, units, str(nonce))

    def _signed_permit(
        self, permit: Any, owner: str, witness: tuple[str, str, int], signature: bytes
    ) -> bool:
        """Tell whether ``owner`` signed a permit with its witness, by EIP-712."""
        from x402.mechanisms.evm.constants import (
            PERMIT2_ADDRESS,
            UPTO_PERMIT2_WITNESS_TYPES,
            X402_UPTO_PERMIT2_PROXY_ADDRESS,
        )
        from x402.mechanisms.evm.verify import verify_typed_data_strict

        (token, most), nonce, deadline = permit
        to, facilitator, after = witness
        domain = {
            "name": "Permit2",
            "chainId": self._asset.chain_id,
            "verifyingContract": PERMIT2_ADDRESS,
        }
        message = {
            "permitted": {"token": token, "amount": most},
            "spender": X402_UPTO_PERMIT2_PROXY_ADDRESS,
            "nonce": nonce,
            "deadline": deadline,
            "witness": {"to": to, "facilitator": facilitator, "validAfter": after},
        }
        signer: Any = self  # of its signer this check calls get_code and read_contract alone
        types: Any = UPTO_PERMIT2_WITNESS_TYPES
        return verify_typed_data_strict(
            signer, owner, domain, types, "PermitWitnessTransferFrom", message, signature
        )

    def _keep(self) -> None:
        """Write the file anew, whole or not at all."""
        if self._file is None:
            return
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps({"balances": self._balances, "spent": self._spent}), encoding="utf-8")
        os.replace(new, self._file)


def _spending(payer: str, nonce: str) -> str:
    return f"{payer.lower()}:{nonce.lower()}"
