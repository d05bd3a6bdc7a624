"""``/inference/v1/generate`` of a fake replica: tokens in, tokens out, where scale-out is on."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from kvproxy.fake_replica.choice_steps import ChoiceStep
from kvproxy.fake_replica.completion_answers import likelihoods, sse, usage_of
from kvproxy.fake_replica.completion_query import CompletionQuery, completion_query
from kvproxy.fake_replica.fake_engine import EnginePrompt
from kvproxy.fake_replica.fake_generation import AnswerStep, FakeGeneration
from kvproxy.fake_replica.generation_route import generated
from kvproxy.fake_replica.replica_bodies import json_object
from kvproxy.fake_replica.replica_state import REPLICA
from kvproxy.fake_replica.vllm_errors import ReplicaError, VllmError, malformed

_DISABLED = "Scale-out endpoints are disabled. Restart vllm serve with --enable-scale-out to enable them."


async def generate(request: web.Request) -> web.StreamResponse:
    """Answer ``POST /inference/v1/generate``."""
    state = request.app[REPLICA]
    if not state.options.scale_out:
        raise VllmError(ReplicaError(403, "PermissionDeniedError", _DISABLED))
    body = await json_object(request)
    state.check_model(body.get("model"))
    sampling = body.get("sampling_params")
    if not isinstance(sampling, dict):
        raise VllmError(malformed("Field required", "body.sampling_params", kind="missing"))
    if not isinstance(body.get("token_ids"), list) or not body["token_ids"]:
        raise VllmError(malformed("Field required", "body.token_ids", kind="missing"))
    outer = {name: body.get(name) for name in ("cache_salt", "stream", "stream_options", "request_id")}
    left = state.options.context - len(body["token_ids"])
    query = completion_query(
        {"max_tokens": left, **sampling, **outer, "prompt": body["token_ids"]}, request.headers
    )
    prompt = EnginePrompt(
        tuple(body["token_ids"]),
        query.salt,
        query.session,
        read_cache=not sampling.get("skip_reading_prefix_cache"),
    )
    answers = TokenAnswers(
        state.options.model, query, prompt, text_mode=body.get("output_mode") == "text", asked=body
    )
    return await generated(request, query, prompt, answers)


class TokenAnswers:
    """Makes the JSON of one token answer."""

    def __init__(
        self,
        model: str,
        query: CompletionQuery,
        prompt: EnginePrompt,
        *,
        text_mode: bool,
        asked: dict[str, Any],
    ) -> None:
        """Take the request. ``asked``: its body, for ``return_token_ids``.

        Example: ``TokenAnswers("m", query, prompt, text_mode=False, asked=body)``
        """
        self._model, self._query, self._prompt = model, query, prompt
        self._mode = "text" if text_mode else "tokens"
        self._returns_prompt = bool(asked.get("return_token_ids"))
        self._id = f"generate-tokens-{query.request_id or uuid.uuid4().hex}"
        self._said: dict[int, int] = {}

    def whole(self, answers: Sequence[FakeGeneration], cached: int | None) -> dict[str, Any]:
        """Return the answer of a request that does not stream."""
        return {
            "request_id": self._id,
            "model": self._model,
            "created": int(time.time()),
            "usage": usage_of(len(self._prompt.token_ids), sum(len(one.steps) for one in answers), cached),
            "prompt_logprobs": None,
            "prompt_token_id_logprobs": None,
            "prompt_token_ids": list(self._prompt.token_ids) if self._returns_prompt else None,
            "mm_placeholders": None,
            "metrics": None,
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "output_mode": self._mode,
            "choices": [self._choice(index, one.steps, one, True) for index, one in enumerate(answers)],
        }

    def chunk(self, said: ChoiceStep, answer: FakeGeneration) -> bytes:
        """Return the chunk of one token."""
        first = not self._said
        self._said[said.index] = self._said.get(said.index, 0) + 1
        told: dict[str, Any] = {"request_id": self._id, "usage": None}
        if first and self._returns_prompt:
            told["prompt_token_ids"] = list(self._prompt.token_ids)
        choice = self._choice(said.index, [said.step], answer, said.last)
        return sse({**told, "output_mode": self._mode, "choices": [choice]})

    def usage_chunk(self, cached: int | None) -> bytes:
        """Return the last chunk, which carries the usage."""
        answered = sum(self._said.values())
        usage: dict[str, Any] = {
            "prompt_tokens": len(self._prompt.token_ids),
            "total_tokens": len(self._prompt.token_ids) + answered,
            "completion_tokens": answered,
        }
        if cached is not None:
            usage["prompt_tokens_details"] = {"cached_tokens": cached}
        return sse({"request_id": self._id, "usage": usage, "output_mode": self._mode, "choices": []})

    def _choice(
        self, index: int, steps: Sequence[AnswerStep], answer: FakeGeneration, last: bool
    ) -> dict[str, Any]:
        told: dict[str, Any] = {
            "index": index,
            "finish_reason": answer.finish_reason if last else None,
            "stop_reason": answer.stop_reason if last else None,
            "token_ids": [step.token for step in steps],
            "routed_experts": None,
            "sampling_mask": None,
            "weight_versions": None,
            "logprobs": self._logprobs(steps),
        }
        if self._mode == "text":
            told["text"] = "".join(step.text for step in steps)
        return told

    def _logprobs(self, steps: Sequence[AnswerStep]) -> dict[str, Any] | None:
        wanted = self._query.logprobs
        if wanted is None:
            return None
        content = []
        for step in steps:
            ranked = likelihoods(step.token, max(wanted, 1))
            tops = [
                {"token_id": token, "logprob": value, "rank": rank}
                for rank, (token, value) in enumerate(ranked, 1)
            ]
            content.append({**tops[0], "top_logprobs": tops})
        return {"content": content}
