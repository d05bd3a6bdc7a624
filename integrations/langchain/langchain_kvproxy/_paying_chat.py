"""`PayingChat`: a chat model that tops its balance up within a cap, or raises the quote of what it cannot pay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, Self

import openai
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import Field, PrivateAttr, SecretStr, model_validator
from typing_extensions import override

from langchain_kvproxy import _protocol
from langchain_kvproxy._chat_answers import ReportingChat
from langchain_kvproxy._topups import TopupAllowance, amount_of, error_of, pay_topup


class PayingChat(ReportingChat):
    """A chat model with a policy for 402, Payment Required."""

    on_payment_required: Literal["raise", "topup"] = "raise"
    """`raise`: PaymentRequiredError with the quote; `topup`: pay through `payer` within `topup_cap`, and ask again."""
    topup_cap: str | None = None
    """The most that this model ever pays, a decimal of the proxy's currency such as `"5"`. Needed for `topup`."""
    payer: Any = Field(default=None, exclude=True, repr=False)
    """Signs payments, such as kvproxy's `EvmPayer`: `pay(asked)` returns headers. Never serialised."""

    _purse: TopupAllowance = PrivateAttr(default_factory=TopupAllowance)

    @model_validator(mode="after")
    def _can_pay(self) -> Self:
        if self.on_payment_required == "topup" and (self.payer is None or self.topup_cap is None):
            raise ValueError('on_payment_required="topup" needs payer and topup_cap')
        if self.topup_cap is not None:
            _cap(self.topup_cap)
        return self

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        try:
            return super()._generate(messages, stop, run_manager, **kwargs)
        except openai.APIStatusError as e:
            self._paid_or_raised(e)
        return super()._generate(messages, stop, run_manager, **kwargs)

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        try:
            return await super()._agenerate(messages, stop, run_manager, **kwargs)
        except openai.APIStatusError as e:
            await asyncio.to_thread(self._paid_or_raised, e)
        return await super()._agenerate(messages, stop, run_manager, **kwargs)

    @override
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        try:  # a 402 comes before the first event: nothing is repeated
            yield from super()._stream(*args, **kwargs)
            return
        except openai.APIStatusError as e:
            self._paid_or_raised(e)
        yield from super()._stream(*args, **kwargs)

    @override
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        try:
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk
            return
        except openai.APIStatusError as e:
            await asyncio.to_thread(self._paid_or_raised, e)
        async for chunk in super()._astream(*args, **kwargs):
            yield chunk

    def _paid_or_raised(self, refused: openai.APIStatusError) -> None:
        """Top up for a 402 and return; raise any other refusal, and a 402 that may not be paid."""
        if refused.status_code != 402:
            raise refused
        error = error_of(refused.response)
        if self.on_payment_required == "raise" or self.topup_cap is None:
            raise error from refused
        amount, root = amount_of(error), _protocol.root_of(self.openai_api_base)
        key = self.openai_api_key
        secret = key.get_secret_value() if isinstance(key, SecretStr) else _protocol.api_key_of(None)
        pay = self._purse.spend(
            amount, _cap(self.topup_cap), lambda: pay_topup(root, secret, amount, self.payer)
        )
        if not pay:
            raise error from refused


def _cap(text: str) -> Decimal:
    """Read a cap. Raises ValueError."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or value < 0:
        raise ValueError(f"topup_cap is {text!r}: write a decimal such as '5' or '0.25'")
    return value
