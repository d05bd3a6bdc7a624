"""``/v1/chat/completions`` of a fake replica: one text answer, without tools."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from kvproxy.errors import InvalidRequest
from kvproxy.fake_replica.choice_steps import ChoiceStep
from kvproxy.fake_replica.completion_answers import AnswerHead, sse, usage_of
from kvproxy.fake_replica.completion_query import completion_query
from kvproxy.fake_replica.fake_engine import EnginePrompt
from kvproxy.fake_replica.fake_generation import FakeGeneration
from kvproxy.fake_replica.generation_route import generated
from kvproxy.fake_replica.replica_bodies import json_object
from kvproxy.fake_replica.replica_state import REPLICA
from kvproxy.fake_replica.vllm_errors import VllmError, bad_request, malformed


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """Answer ``POST /v1/chat/completions``."""
    state = request.app[REPLICA]
    body = await json_object(request)
    state.check_model(body.get("model"))
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise VllmError(malformed("Field required", "body.messages", kind="missing"))
    try:
        prompt = state.text.chat(
            messages, {**(body.get("chat_template_kwargs") or {}), "tools": body.get("tools") or ()}
        )
    except InvalidRequest as e:
        raise VllmError(bad_request(str(e))) from e
    most = body.get("max_completion_tokens") or body.get("max_tokens")
    query = completion_query(
        {
            **body,
            "prompt": prompt,
            "max_tokens": most or state.options.context - len(prompt),
            "logprobs": None,
        },
        request.headers,
    )
    head = state.head(f"chatcmpl-{uuid.uuid4().hex}")
    return await generated(
        request, query, EnginePrompt(tuple(prompt), query.salt, query.session), ChatAnswers(head, len(prompt))
    )


class ChatAnswers:
    """Makes the JSON of one chat answer."""

    def __init__(self, head: AnswerHead, prompt_tokens: int) -> None:
        self._head = head
        self._prompt_tokens = prompt_tokens
        self._said: dict[int, int] = {}

    def whole(self, answers: Sequence[FakeGeneration], cached: int | None) -> dict[str, Any]:
        """Return the answer of a request that does not stream."""
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": answer.text},
                "logprobs": None,
                "finish_reason": answer.finish_reason,
                "stop_reason": answer.stop_reason,
                "token_ids": None,
            }
            for index, answer in enumerate(answers)
        ]
        usage = usage_of(self._prompt_tokens, sum(len(one.steps) for one in answers), cached)
        return {
            **self._begun("chat.completion"),
            "choices": choices,
            "service_tier": None,
            "system_fingerprint": self._head.fingerprint,
            "usage": usage,
        }

    def chunk(self, said: ChoiceStep, answer: FakeGeneration) -> bytes:
        """Return the chunk of one token, after one that names the role."""
        first = said.index not in self._said
        self._said[said.index] = self._said.get(said.index, 0) + 1
        opened = self._chunk(said.index, {"role": "assistant", "content": ""}, None) if first else b""
        reason = answer.finish_reason if said.last else None
        return opened + self._chunk(said.index, {"content": said.step.text}, reason)

    def usage_chunk(self, cached: int | None) -> bytes:
        """Return the last chunk, which carries the usage."""
        usage = usage_of(self._prompt_tokens, sum(self._said.values()), cached)
        return sse({**self._begun("chat.completion.chunk"), "choices": [], "usage": usage})

    def _chunk(self, index: int, delta: dict[str, Any], reason: str | None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        return sse({**self._begun("chat.completion.chunk"), "choices": [choice]})

    def _begun(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._head.id,
            "object": kind,
            "created": self._head.created,
            "model": self._head.model,
        }
