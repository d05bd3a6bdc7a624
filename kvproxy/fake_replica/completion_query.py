"""`CompletionQuery`: a body of ``/v1/completions``, checked as vLLM checks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvproxy.fake_replica.fake_generation import AnswerCuts
from kvproxy.fake_replica.vllm_errors import VllmError, bad_request, malformed

_MOST_LOGPROBS = 20
_SALT_LENGTH = 128
_SALT_FORBIDDEN = frozenset("@/\\\0")


@dataclass(frozen=True, slots=True)
class CompletionQuery:
    """The fields that a fake replica follows; others are taken and left."""

    prompt: tuple[int, ...] | str
    limits: AnswerCuts
    salt: str | None
    session: str | None
    n: int
    stream: bool
    include_usage: bool
    continuous_usage: bool
    echo: bool
    logprobs: int | None
    tokens_as_ids: bool
    return_token_ids: bool
    structured: Mapping[str, Any] | None
    request_id: str | None
    add_special_tokens: bool = True
    traceparent: str | None = None
    """The trace that the request's header names."""


def completion_query(body: Mapping[str, Any], headers: Mapping[str, str]) -> CompletionQuery:
    """Read a body. Raises VllmError with vLLM's own message.

    Example: ``completion_query({"prompt": [1, 2], "max_tokens": 4}, request.headers)``
    """
    options = body.get("stream_options") or {}
    if options and not body.get("stream"):
        raise VllmError(
            bad_request("Stream options can only be defined when `stream=True`.", "stream_options")
        )
    return CompletionQuery(
        prompt=_prompt(body.get("prompt")),
        limits=answer_limits(body, default=16),
        salt=checked_salt(body.get("cache_salt")),
        session=body.get("session_id") or headers.get("x-session-id"),
        n=_choices(body),
        stream=bool(body.get("stream")),
        include_usage=bool(options.get("include_usage")),
        continuous_usage=bool(options.get("include_usage") and options.get("continuous_usage_stats")),
        echo=bool(body.get("echo")),
        logprobs=_logprobs(body.get("logprobs")),
        tokens_as_ids=bool(body.get("return_tokens_as_token_ids")),
        return_token_ids=bool(body.get("return_token_ids")),
        structured=structured_of(body),
        request_id=body.get("request_id"),
        add_special_tokens=body.get("add_special_tokens", True),
        traceparent=headers.get("traceparent"),
    )


def answer_limits(body: Mapping[str, Any], *, default: int) -> AnswerCuts:
    """Read sampling parameters. ``default``: ``max_tokens`` where the body has none. Raises VllmError."""
    most = body.get("max_tokens")
    most = default if most is None else _whole(body, "max_tokens", default)
    if most < 1:
        raise VllmError(bad_request(f"max_tokens must be at least 1, got {most}.", "max_tokens", value=most))
    stop = body.get("stop") or ()
    temperature = body.get("temperature")
    if isinstance(temperature, int | float) and temperature < 0:
        problem = f"temperature must be non-negative, got {float(temperature)}."
        raise VllmError(bad_request(problem, "temperature", value=float(temperature)))
    return AnswerCuts(
        max_tokens=most,
        min_tokens=_whole(body, "min_tokens", 0),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        stop_token_ids=tuple(body.get("stop_token_ids") or ()),
        include_stop=bool(body.get("include_stop_str_in_output")),
        ignore_eos=bool(body.get("ignore_eos")),
        skip_special=body.get("skip_special_tokens", True) is not False,
    )


def checked_salt(salt: object) -> str | None:
    """Return a ``cache_salt`` that vLLM takes. Raises VllmError."""
    if salt is None:
        return None
    if not isinstance(salt, str) or not salt:
        raise _wrong("Parameter 'cache_salt' must be a non-empty string if provided.", "cache_salt")
    if len(salt) > _SALT_LENGTH or _SALT_FORBIDDEN & set(salt):
        raise _wrong(
            "Parameter 'cache_salt' must be at most 128 characters and must not contain '@', '/', '\\\\', or NUL.",
            "cache_salt",
        )
    return salt


def structured_of(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return ``structured_outputs``, or what ``response_format`` stands for. Raises VllmError."""
    wanted = body.get("structured_outputs")
    if wanted is None:
        form = body.get("response_format") or {}
        match form.get("type"):
            case "json_object":
                return {"json_object": True}
            case "json_schema":
                return {"json": form["json_schema"]["schema"]}
        return None
    kinds = ("json", "regex", "choice", "grammar", "json_object", "structural_tag")
    given = [kind for kind in kinds if wanted.get(kind) is not None]
    if len(given) != 1:
        rule = "use one kind" if not given else "only use one kind"
        raise _wrong(f"You can {rule} of constraints for structured outputs.", "structured_outputs")
    return dict(wanted)


def checked_length(prompt: int, context: int) -> None:
    """Accept a prompt that fits ``context`` with one token of an answer; longer answers are cut. Raises VllmError."""
    if prompt > context:
        # vLLM tokenises no further than one token more, and says so even where it was given the tokens.
        at_least = "at least " if prompt == context + 1 else ""
        problem = (
            f"This model's maximum context length is {context} tokens. However, your prompt contains {at_least}"
            f"{prompt} input tokens, which exceeds this limit even without any output tokens. Please reduce the length "
            f"of the input prompt."
        )
        raise VllmError(bad_request(problem, "input_tokens", value=prompt))
    if prompt == context:
        raise VllmError(bad_request("max_tokens must be at least 1, got 0.", "max_tokens", value=0))


def _prompt(prompt: object) -> tuple[int, ...] | str:
    if isinstance(prompt, str) and prompt:
        return prompt
    if prompt == []:
        raise VllmError(bad_request("You must pass at least one prompt"))
    if not prompt:
        raise _wrong("Either prompt or prompt_embeds must be provided and non-empty.", "prompt")
    if not isinstance(prompt, list) or not all(type(token) is int for token in prompt):
        raise VllmError(malformed("A fake replica takes one prompt: a text or token ids", "body.prompt"))
    if min(prompt) < 0:
        raise VllmError(malformed("Input should be greater than or equal to 0", "body.prompt.0"))
    return tuple(prompt)


def _choices(body: Mapping[str, Any]) -> int:
    if (n := _whole(body, "n", 1)) < 1:
        raise VllmError(bad_request(f"n must be at least 1, got {n}."))
    return n


def _logprobs(wanted: object) -> int | None:
    if wanted is None:
        return None
    if not isinstance(wanted, int | float):
        raise VllmError(bad_request("`logprobs` must be an integer.", "logprobs", value=wanted))
    if wanted < -1:
        problem = "`logprobs` must be a positive value or -1."
        raise VllmError(bad_request(problem, "logprobs", value=wanted))
    if wanted > _MOST_LOGPROBS:
        problem = (
            f"Requested sample logprobs of {wanted}, which is greater than max allowed: {_MOST_LOGPROBS}"
        )
        raise VllmError(bad_request(problem, "logprobs", value=wanted))
    return int(wanted)


def _whole(body: Mapping[str, Any], name: str, default: int) -> int:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise VllmError(malformed("Input should be a valid integer", f"body.{name}", kind="int_parsing"))
    return value


def _wrong(message: str, param: str) -> VllmError:
    return VllmError(bad_request(message, param))
