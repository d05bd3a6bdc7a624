"""Answers of ``/v1/completions`` in vLLM's own form, whole and as chunks of a stream."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kvproxy.fake_replica.choice_steps import ChoiceStep
from kvproxy.fake_replica.completion_query import CompletionQuery
from kvproxy.fake_replica.fake_generation import AnswerStep, FakeGeneration
from kvproxy.fake_replica.replica_text import ReplicaText


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """The fields that every chunk of one answer begins with."""

    id: str
    created: int
    model: str
    fingerprint: str


def usage_of(prompt: int, answered: int, cached: int | None) -> dict[str, Any]:
    """Return a whole answer's usage. ``cached``: None leaves the details out.

    Example: ``usage_of(1003, 16, 896)``
    """
    details = {"cached_tokens": cached, "created_cache_tokens": None, "multimodal_tokens": None}
    return {
        "prompt_tokens": prompt,
        "total_tokens": prompt + answered,
        "completion_tokens": answered,
        "prompt_tokens_details": None if cached is None else details,
        "completion_tokens_details": None,
    }


def likelihoods(token: int, most: int) -> list[tuple[int, float]]:
    """Made-up logprobs, a function of the token: the chosen one first, then ``most`` - 1 others."""
    digest = hashlib.sha256(token.to_bytes(8, "big", signed=True)).digest()
    best = -(digest[0] + 1) / 512
    return [(token, best), *((token + rank, best - rank) for rank in range(1, max(most, 0)))]


class CompletionAnswers:
    """Makes the JSON of one request's answer."""

    def __init__(
        self, head: AnswerHead, query: CompletionQuery, prompt: Sequence[int], text: ReplicaText
    ) -> None:
        """Take the request. ``prompt``: its token ids.

        Example: ``CompletionAnswers(head, query, (1, 2, 3), BytesText())``
        """
        self._head, self._query, self._prompt, self._text = head, query, list(prompt), text
        self._said = [0] * query.n
        self._offset = [0] * query.n

    def whole(self, answers: Sequence[FakeGeneration], cached: int | None) -> dict[str, Any]:
        """Return the answer of a request that does not stream."""
        return {
            **self._begun("text_completion"),
            "choices": [self._choice(index, answer) for index, answer in enumerate(answers)],
            "service_tier": None,
            "system_fingerprint": self._head.fingerprint,
            "usage": usage_of(len(self._prompt), sum(len(one.steps) for one in answers), cached),
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None,
        }

    def chunk(self, said: ChoiceStep, answer: FakeGeneration) -> bytes:
        """Return the chunk of one token."""
        index, query = said.index, self._query
        first = self._said[index] == 0
        self._said[index] += 1
        text = said.step.text
        if first and query.echo:
            text = self._text.decode(self._prompt) + text
        choice = {
            "index": index,
            "text": text,
            "logprobs": self._logprobs([said.step], index),
            "finish_reason": answer.finish_reason if said.last else None,
            "stop_reason": answer.stop_reason if said.last else None,
            "prompt_token_ids": self._prompt if first and query.return_token_ids else None,
            "token_ids": [said.step.token] if query.return_token_ids else None,
        }
        told: dict[str, Any] = {**self._begun("text_completion"), "choices": [choice]}
        if said.last and not query.include_usage:
            told["system_fingerprint"] = self._head.fingerprint
        if query.continuous_usage:
            told["usage"] = self._plain_usage(self._said[index])
        return sse(told)

    def usage_chunk(self, cached: int | None) -> bytes:
        """Return the last chunk, which carries the usage."""
        usage: dict[str, Any] = self._plain_usage(sum(self._said))
        if cached is not None:
            usage["prompt_tokens_details"] = {"cached_tokens": cached}
        return sse(
            {
                **self._begun("text_completion"),
                "choices": [],
                "usage": usage,
                "system_fingerprint": self._head.fingerprint,
            }
        )

    def _begun(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._head.id,
            "object": kind,
            "created": self._head.created,
            "model": self._head.model,
        }

    def _choice(self, index: int, answer: FakeGeneration) -> dict[str, Any]:
        query = self._query
        return {
            "index": index,
            "text": (self._text.decode(self._prompt) if query.echo else "") + answer.text,
            "logprobs": self._logprobs(answer.steps, index),
            "finish_reason": answer.finish_reason,
            "stop_reason": answer.stop_reason,
            "token_ids": answer.token_ids if query.return_token_ids else None,
            "prompt_logprobs": None,
            "prompt_token_ids": self._prompt if query.return_token_ids else None,
            "routed_experts": None,
        }

    def _logprobs(self, steps: Sequence[AnswerStep], index: int) -> dict[str, Any] | None:
        wanted = self._query.logprobs
        if wanted is None:
            return None
        offsets: list[int] = []
        start = 0
        for step in steps:
            offsets.append(start)
            start += len(self._token(step.token))
        ranked = [likelihoods(step.token, max(wanted, 1)) for step in steps]
        return {
            "text_offset": offsets,
            "token_logprobs": [one[0][1] for one in ranked],
            "tokens": [self._token(step.token) for step in steps],
            "top_logprobs": [{self._token(token): value for token, value in one} for one in ranked],
        }

    def _token(self, token: int) -> str:
        if self._query.tokens_as_ids:
            return f"token_id:{token}"
        return self._text.decode([token], skip_special=False)

    def _plain_usage(self, answered: int) -> dict[str, Any]:
        return {
            "prompt_tokens": len(self._prompt),
            "total_tokens": len(self._prompt) + answered,
            "completion_tokens": answered,
        }


def sse(told: object) -> bytes:
    """Return one server-sent event."""
    return b"data: " + json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
"""The end of a stream."""
