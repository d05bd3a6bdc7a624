"""`ReportingChat`: adds the proxy's cache report, its price and the model's reasoning to answers, streamed or not."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import openai
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai.chat_models.base import BaseChatOpenAI
from pydantic import PrivateAttr
from typing_extensions import override

from langchain_kvproxy._answer_cost import answer_cost
from langchain_kvproxy._cache_status import cache_report, settled
from langchain_kvproxy._chat_connection import ChatConnection
from langchain_kvproxy._stream_headers import AsyncHeaderRecordingClient, HeaderRecordingClient


@dataclass
class AnswerHeaders:
    """The headers of one request's answer, and the use made of them."""

    keep_headers: bool
    """Whether the caller asked for the raw headers too."""
    headers: Mapping[str, str] | None = None
    reported: bool = False
    """Whether the stream carries its cache report already."""
    priced: bool = False
    """Whether the stream carries its price already."""


class ReportingChat(ChatConnection):
    """A chat model that adds `response_metadata["kvproxy"]` to its answers, read from the response headers."""

    _answer: AnswerHeaders | None = PrivateAttr(default=None)

    @override
    def _create_chat_result(
        self, response: dict[str, Any] | openai.BaseModel, generation_info: dict[str, Any] | None = None
    ) -> ChatResult:
        info = dict(generation_info or {})
        report = cache_report(info.get("headers", {}))
        result = super()._create_chat_result(response, self._without_headers(info))
        whole = response if isinstance(response, dict) else response.model_dump(warnings=False)
        cost = answer_cost(whole.get("usage"))
        for generation, choice in zip(result.generations, whole["choices"], strict=True):
            _add_reasoning(generation.message, choice["message"])
            if report is not None:
                generation.message.response_metadata["kvproxy"] = report
            if cost is not None:
                generation.message.response_metadata["kvproxy_cost"] = cost
        result.llm_output = {**(result.llm_output or {}), "model_provider": "kvproxy"}
        return result

    @override
    def _convert_chunk_to_generation_chunk(
        self,
        chunk: dict[str, Any],
        default_chunk_class: type,
        base_generation_info: dict[str, Any] | None,
    ) -> ChatGenerationChunk | None:
        info = dict(base_generation_info or {})
        answer = self._answer or AnswerHeaders(keep_headers=True)
        answer.headers = info.get("headers", answer.headers)
        made = super()._convert_chunk_to_generation_chunk(
            chunk, default_chunk_class, self._without_headers(info)
        )
        if made is None:
            return None
        inner = chunk.get("chunk") or chunk  # openai's own events of structured streams have the chunk inside
        message = made.message
        if "model_provider" in message.response_metadata:
            message.response_metadata["model_provider"] = "kvproxy"
        for choice in (inner.get("choices") or [])[:1]:
            _add_reasoning(message, choice.get("delta") or {})
        cost = None if answer.priced else answer_cost(inner.get("usage"))
        if cost is not None:  # once: LangChain adds chunks up, and texts in their metadata
            message.response_metadata["kvproxy_cost"] = cost
            answer.priced = True
        if answer.headers is not None and not answer.reported:
            usage = inner.get("usage") or {}
            self._attach_report(answer, message, usage.get("prompt_tokens_details") or {} if usage else None)
        return made

    def _attach_report(
        self, answer: AnswerHeaders, message: BaseMessage, details: dict[str, Any] | None
    ) -> None:
        """Attach the cache report to one chunk of a stream: LangChain adds chunks up, and texts in their metadata."""
        report = cache_report(answer.headers or {})
        if report is not None and details is not None:
            report = settled(report, details.get("cached_tokens") or 0)
        if report is None or report["status"] != "pending":
            answer.reported = True
        if report is not None and answer.reported:
            message.response_metadata["kvproxy"] = report

    def _without_headers(self, info: dict[str, Any]) -> dict[str, Any]:
        """Return an answer's info without the raw headers, unless the caller asked for them."""
        if self._answer is None or self._answer.keep_headers:
            return info
        return {name: value for name, value in info.items() if name != "headers"}

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with self._advised_errors():
            one = self._request_copy(self._requested_model(kwargs))
            return BaseChatOpenAI._generate(one, messages, stop, run_manager, **kwargs)

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with self._advised_errors():
            one = self._request_copy(await self._arequested_model(kwargs))
            return await BaseChatOpenAI._agenerate(one, messages, stop, run_manager, **kwargs)

    @override
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        with self._advised_errors():
            one = self._request_copy(self._requested_model(kwargs), kwargs)
            yield from BaseChatOpenAI._stream(one, *args, **kwargs)

    @override
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        with self._advised_errors():
            one = self._request_copy(await self._arequested_model(kwargs), kwargs)
            async for chunk in BaseChatOpenAI._astream(one, *args, **kwargs):
                yield chunk

    def _request_copy(self, model: str, stream_kwargs: Mapping[str, Any] | None = None) -> Self:
        """Copy the model for one request, which reads the response headers and keeps their `AnswerHeaders`.

        The base class cannot read the headers of openai's structured streams, so wrapped clients record them then.
        """
        one = self.model_copy(update={"model_name": model})
        one._answer = answer = AnswerHeaders(keep_headers=self.include_response_headers)
        one.include_response_headers = True
        if stream_kwargs is not None and "response_format" in {**self.model_kwargs, **stream_kwargs}:
            note = functools.partial(setattr, answer, "headers")
            one.root_client = HeaderRecordingClient(self.root_client, note)
            one.root_async_client = AsyncHeaderRecordingClient(self.root_async_client, note)
            one.include_response_headers = False
        return one


def _add_reasoning(message: BaseMessage, source: Mapping[str, Any]) -> None:
    thoughts = source.get("reasoning_content") or source.get("reasoning")
    if isinstance(message, AIMessage | AIMessageChunk) and isinstance(thoughts, str):
        message.additional_kwargs["reasoning_content"] = thoughts
