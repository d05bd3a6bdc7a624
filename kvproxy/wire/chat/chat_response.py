"""Chat completion answers, streamed and not, exactly as OpenAI's specification has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvproxy.core import ToolCall
from kvproxy.errors import KVProxyError
from kvproxy.events import (
    Event,
    Finished,
    FinishReason,
    ReasoningDelta,
    Started,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from kvproxy.wire.answers import event_bytes
from kvproxy.wire.answers.answer_reader import Answer
from kvproxy.wire.answers.cost_bodies import priced
from kvproxy.wire.answers.logprob_bodies import token_logprob_body
from kvproxy.wire.bodies.json_text import encode
from kvproxy.wire.chat.chat_types import (
    AssistantMessage,
    ChatCompletion,
    ChatDelta,
    CompletionTokensDetails,
    CustomCallPiece,
    FinishReasonBody,
    LogprobsBody,
    MessageCustomCall,
    MessageToolCall,
    ToolCallPiece,
    UsageBody,
)
from kvproxy.wire.tools.free_form import InputReader, input_of


@dataclass(frozen=True, slots=True)
class ChatHead:
    """The fields that every object of one answer repeats. ``created`` is Unix time in seconds."""

    id: str
    created: int
    model: str
    functions: bool = False
    """The request had the deprecated ``functions``: its call is written as ``function_call``."""
    custom: frozenset[str] = frozenset()
    """Names of the request's free-form tools; their calls are written as text."""


def usage_body(usage: Usage) -> UsageBody:
    """Return chat's usage. ``cached_tokens`` and ``cache_write_tokens`` are always there, 0 included.

    The prediction's counts are there only for a request with a prediction. They count drafted tokens: tokens that
    matched the prediction before a draft began, and the token that each step chooses by itself, are in neither; an
    undrafted token was not rejected. Rejected tokens are no part of ``completion_tokens``.
    """
    details: CompletionTokensDetails = {"reasoning_tokens": usage.reasoning_tokens}
    if usage.prediction is not None:
        details["accepted_prediction_tokens"], details["rejected_prediction_tokens"] = usage.prediction
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": details,
        **priced(usage),
    }


def completion(head: ChatHead, answers: Sequence[Answer], usage: Usage) -> ChatCompletion:
    """Return a whole ``chat.completion``.

    Example: ``completion(ChatHead("chatcmpl-1", 0, "qwen"), [answer], usage)``.
    """
    return {
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": [
            {
                "index": index,
                "message": _message(head, answer),
                "logprobs": _logprobs(answer.logprobs),
                "finish_reason": _reason(head, answer.reason),
            }
            for index, answer in enumerate(answers)
        ],
        "usage": usage_body(usage),
    }


class ChatStream:
    """Encodes the chunks of one stream: role first, one finish_reason for each choice, usage last if wanted.

    With ``include_usage`` every chunk before the usage chunk says ``usage: null``. A chunk differs from the next in its
    delta alone, so all else is encoded once.
    """

    def __init__(self, head: ChatHead, *, include_usage: bool) -> None:
        self._head = head
        self._include_usage = include_usage
        self._inputs: dict[tuple[int, int], InputReader] = {}
        """Readers of free-form tools' inputs, by choice and call."""
        frame = {
            "id": head.id,
            "object": "chat.completion.chunk",
            "created": head.created,
            "model": head.model,
        }
        self._frame = b"data: " + encode(frame)[:-1] + b',"choices":['
        self._tail = b'],"usage":null}\n\n' if include_usage else b"]}\n\n"

    def begin(self, started: Started, *, prompt_tokens: int, choices: int) -> bytes:
        """Encode the first chunk of each choice. Example: ``stream.begin(started, prompt_tokens=512, choices=1)``."""
        return b"".join(self._chunk(i, {"role": "assistant", "content": ""}) for i in range(choices))

    def event(self, index: int, event: Event) -> bytes:
        match event:
            case TextDelta():
                if not event.text and not event.logprobs:
                    return b""
                return self._chunk(index, {"content": event.text}, event.logprobs)
            case ReasoningDelta():
                return self._chunk(index, {"reasoning_content": event.text})
            case ToolCallDelta():
                return self._call(index, event)
            case Finished():
                return self._rest(index) + self._chunk(index, {}, reason=_reason(self._head, event.reason))
        return b""

    def end(self, usage: Usage) -> bytes:
        if not self._include_usage:
            return event_bytes.DONE
        return self._frame + b'],"usage":' + encode(usage_body(usage)) + b"}\n\n" + event_bytes.DONE

    def error(self, error: KVProxyError) -> bytes:
        return event_bytes.event(error.body())

    def pulse(self) -> bytes:
        return event_bytes.KEEPALIVE

    def _call(self, index: int, event: ToolCallDelta) -> bytes:
        if self._head.functions:
            if event.index > 0:
                return b""  # the deprecated form has room for one call
            if event.name is None:
                return self._chunk(index, {"function_call": {"arguments": event.arguments}})
            return self._chunk(index, {"function_call": {"name": event.name, "arguments": event.arguments}})
        if event.name in self._head.custom:
            self._inputs[index, event.index] = InputReader()
        if (index, event.index) in self._inputs:
            return self._free_form(index, event, self._inputs[index, event.index].push(event.arguments))
        call: ToolCallPiece = {"index": event.index, "function": {"arguments": event.arguments}}
        if event.id is not None and event.name is not None:
            call = {
                "index": event.index,
                "id": event.id,
                "type": "function",
                "function": {"name": event.name, "arguments": event.arguments},
            }
        return self._chunk(index, {"tool_calls": [call]})

    def _free_form(self, index: int, event: ToolCallDelta, input: str) -> bytes:
        if event.id is None or event.name is None:
            piece: ToolCallPiece = {"index": event.index, "custom": {"input": input}}
            return self._chunk(index, {"tool_calls": [piece]}) if input else b""
        named: CustomCallPiece = {"name": event.name, "input": input}
        first: ToolCallPiece = {"index": event.index, "id": event.id, "type": "custom", "custom": named}
        return self._chunk(index, {"tool_calls": [first]})

    def _rest(self, index: int) -> bytes:
        """Return the events for the text that the inputs of a choice withheld."""
        data = b""
        for (choice, call), reader in self._inputs.items():
            if choice == index:
                data += self._free_form(index, ToolCallDelta(call), reader.end())
        return data

    def _chunk(
        self,
        index: int,
        delta: ChatDelta,
        logprobs: Sequence[TokenLogprob] = (),
        reason: FinishReasonBody | None = None,
    ) -> bytes:
        return b'%b{"index":%d,"delta":%b,"logprobs":%b,"finish_reason":%b}%b' % (
            self._frame,
            index,
            encode(delta),
            encode(_logprobs(logprobs)) if logprobs else b"null",
            b"null" if reason is None else b'"%b"' % reason.encode("ascii"),
            self._tail,
        )


def _message(head: ChatHead, answer: Answer) -> AssistantMessage:
    content = None if answer.calls and not answer.text else answer.text
    message: AssistantMessage = {"role": "assistant", "content": content, "refusal": None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.calls and head.functions:
        call = answer.calls[0]
        message["function_call"] = {"name": call.name, "arguments": call.arguments}
    elif answer.calls:
        message["tool_calls"] = [_called(head, call) for call in answer.calls]
    return message


def _called(head: ChatHead, call: ToolCall) -> MessageToolCall | MessageCustomCall:
    if call.name in head.custom:
        return {
            "id": call.id,
            "type": "custom",
            "custom": {"name": call.name, "input": input_of(call.arguments)},
        }
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _reason(head: ChatHead, reason: FinishReason) -> FinishReasonBody:
    return "function_call" if head.functions and reason == "tool_calls" else reason


def _logprobs(logprobs: Sequence[TokenLogprob]) -> LogprobsBody | None:
    """Return the log probabilities; None where none were requested."""
    if not logprobs:
        return None
    return {"content": [token_logprob_body(x) for x in logprobs], "refusal": None}
