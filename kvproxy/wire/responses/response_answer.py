"""A whole response object, and the pieces that the stream shares with it."""

from __future__ import annotations

from collections.abc import Iterable

from kvproxy.errors import InvalidRequest, KVProxyError, Overloaded
from kvproxy.events import FinishReason, TokenLogprob, Usage
from kvproxy.wire.answers.answer_reader import Answer
from kvproxy.wire.answers.cost_bodies import priced
from kvproxy.wire.answers.logprob_bodies import TokenLogprobBody, token_logprob_body
from kvproxy.wire.responses.builtin_calls import WHOLE
from kvproxy.wire.responses.call_items import CallItems
from kvproxy.wire.responses.response_ids import ResponseIds
from kvproxy.wire.responses.types import (
    ItemStatus,
    OutputItem,
    OutputMessage,
    OutputTextPart,
    ReasoningItem,
    Response,
    ResponseError,
    ResponseUsage,
)


def complete_response(
    response: Response,
    ids: ResponseIds,
    answer: Answer,
    usage: Usage,
    *,
    at: int,
    calls: CallItems | None = None,
) -> Response:
    """Return the opened ``response`` with its one answer. ``at``: Unix time in seconds.

    Example: ``complete_response(open_response(body, chat, ids, created=0), ids, answer, usage, at=1)``.
    """
    return end_response(
        response, output_items(ids, answer, calls or CallItems()), answer.reason, usage, at=at
    )


def end_response(
    response: Response, output: list[OutputItem], reason: FinishReason, usage: Usage, *, at: int
) -> Response:
    """Return a new, ended object; ``response`` stays as it is. ``at``: Unix time in seconds.

    Example: ``end_response(response, items, "stop", usage, at=1700000000)["status"] == "completed"``.
    """
    done = response.copy()
    done["output"] = output
    done["usage"] = usage_body(usage)
    if reason in ("length", "content_filter"):
        done["status"] = "incomplete"
        done["incomplete_details"] = {
            "reason": "max_output_tokens" if reason == "length" else "content_filter"
        }
    else:
        done["status"] = "completed"
        done["completed_at"] = at
    return done


def fail_response(response: Response, output: list[OutputItem], error: KVProxyError) -> Response:
    """Return a new, failed object; ``response`` stays as it is.

    Example: ``fail_response(response, [], Overloaded("Busy."))["status"] == "failed"``.
    """
    done = response.copy()
    done["output"] = output
    done["status"] = "failed"
    done["error"] = error_body(error)
    return done


def error_body(error: KVProxyError) -> ResponseError:
    """Return a response's own error. Its codes are a short closed list of OpenAI's."""
    if isinstance(error, Overloaded):
        return {"code": "rate_limit_exceeded", "message": error.message}
    if isinstance(error, InvalidRequest):
        return {"code": "invalid_prompt", "message": error.message}
    return {"code": "server_error", "message": error.message}


def output_items(ids: ResponseIds, answer: Answer, calls: CallItems) -> list[OutputItem]:
    """Return reasoning, message and calls. Empty ones are left out; an answer of nothing is an empty message.

    Only the last one can be incomplete, and no call of a built-in: one that was cut off becomes a function call.
    Example: ``output_items(ids, answer, CallItems(tools))``.
    """
    items: list[OutputItem] = []
    if answer.reasoning:
        items.append(reasoning_item(ids, len(items), answer.reasoning))
    if answer.text or not (items or answer.calls):
        items.append(message_item(ids, len(items), answer.text, logprobs_body(answer.logprobs)))
    for call in answer.calls:
        items.append(calls.item(ids, len(items), call))
    if items[-1]["type"] not in WHOLE:
        items[-1]["status"] = last_status(answer.reason)
    return items


def last_status(reason: FinishReason) -> ItemStatus:
    """Return the status of the last item of an answer, by the reason for its end."""
    return "incomplete" if reason in ("length", "content_filter") else "completed"


def reasoning_item(ids: ResponseIds, index: int, text: str) -> ReasoningItem:
    """Return a ``reasoning`` item. Example: ``reasoning_item(ids, 0, "First, …")``."""
    return {
        "type": "reasoning",
        "id": ids.for_output("rs", index),
        "summary": [],
        "content": [{"type": "reasoning_text", "text": text}],
        "status": "completed",
    }


def message_item(ids: ResponseIds, index: int, text: str, logprobs: list[TokenLogprobBody]) -> OutputMessage:
    """Return a ``message`` item. Example: ``message_item(ids, 0, "Hello.", [])``."""
    return {
        "type": "message",
        "id": ids.for_output("msg", index),
        "status": "completed",
        "role": "assistant",
        "content": [text_part(text, logprobs)],
    }


def text_part(text: str, logprobs: list[TokenLogprobBody]) -> OutputTextPart:
    """Return a text part of an answer, without annotations."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def usage_body(usage: Usage) -> ResponseUsage:
    """Return the usage. ``cached_tokens`` and ``cache_write_tokens`` are always there, 0 included."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        **priced(usage),
    }


def logprobs_body(logprobs: Iterable[TokenLogprob]) -> list[TokenLogprobBody]:
    """Return the log probabilities of the tokens."""
    return [token_logprob_body(token) for token in logprobs]
