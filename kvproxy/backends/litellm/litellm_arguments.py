"""A client's body as litellm's arguments, for each endpoint. Pure.

Only the fields named here become arguments. Everything else in a client's body is data: were it passed as an
argument too, a body with ``api_base`` would send the configured key to an address of the client's choice.
A field that becomes neither is reported: nothing is lost in silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kvproxy.backends.base import Endpoint
from kvproxy.backends.litellm.provider_dialect import ProviderDialect
from kvproxy.errors import InvalidRequest

_ARGUMENTS: dict[Endpoint, frozenset[str]] = {
    "chat/completions": frozenset(
        (
            "audio frequency_penalty function_call functions logit_bias logprobs "
            "max_completion_tokens max_tokens modalities n parallel_tool_calls prediction "
            "presence_penalty reasoning_effort response_format seed stop temperature thinking "
            "tool_choice tools top_k top_logprobs top_p user web_search_options"
        ).split()
    ),
    "completions": frozenset(
        (
            "best_of echo frequency_penalty logit_bias logprobs max_tokens n presence_penalty seed stop "
            "suffix temperature top_p user"
        ).split()
    ),
    "embeddings": frozenset(("dimensions", "encoding_format", "user")),
    "responses": frozenset(
        (
            "include instructions max_output_tokens parallel_tool_calls previous_response_id reasoning "
            "safety_identifier service_tier store temperature text tool_choice tools top_logprobs top_p "
            "truncation user"
        ).split()
    ),
    "messages": frozenset(
        (
            "container context_management max_tokens metadata output_config output_format service_tier "
            "stop_sequences system temperature thinking tool_choice tools top_k top_p"
        ).split()
    ),
}
"""Parameters that litellm can translate for upstreams of another dialect."""

_MAIN: dict[Endpoint, str] = {
    "chat/completions": "messages",
    "completions": "prompt",
    "embeddings": "input",
    "responses": "input",
    "messages": "messages",
}
_STREAMING = ("model", "stream", "stream_options")

_HINTS = frozenset(
    (
        "metadata prompt_cache_key prompt_cache_options prompt_cache_retention safety_identifier service_tier "
        "store user verbosity"
    ).split()
)
"""Of OpenAI's own service: another one that has no parameter for them refuses them, and answers as well without."""

_LOST_OF_RESPONSES = frozenset("include service_tier store truncation user".split())
_LOST_OF_MESSAGES = frozenset("container context_management".split())
_SHARED = frozenset(("service_tier", "store", "user"))
"""Of the former, those that chat completions have under the same name."""


@dataclass(frozen=True, slots=True)
class LitellmCall:
    """``arguments`` for litellm, without ``stream``; ``left_out``: fields of the body that do not reach the
    upstream."""

    arguments: dict[str, Any]
    left_out: tuple[str, ...] = ()


def upstream_call(endpoint: Endpoint, body: dict[str, Any], upstream: ProviderDialect) -> LitellmCall:
    """Turn a client's body into a call of litellm.

    An upstream that reads it as it is gets the whole body in ``extra_body``, which is laid over the body that litellm
    makes of the arguments: ``developer`` stays ``developer``; ``user``, ``metadata`` and ``verbosity`` survive. Any
    other gets the parameters that litellm can translate, and the rest as data where its dialect is OpenAI's in the
    end.

    Raises InvalidRequest for shapes that litellm would trip over, and for a conversation that is not stored; the
    rest is the upstream's to judge.

    Example: ``upstream_call("chat/completions", {"model": "up-1", "messages": []}, dialect)``
    """
    if endpoint == "responses" and upstream.chat_only and body.get("previous_response_id") is not None:
        raise InvalidRequest(
            "The upstream has no /v1/responses and keeps none: send the whole conversation as 'input'.",
            param="previous_response_id",
        )
    transparent = upstream.transparent(endpoint)
    call: dict[str, Any] = {"model": body["model"], **_checked(endpoint, body, transparent=transparent)}
    if transparent:
        return LitellmCall(call | _whole(endpoint, body, upstream))
    given = {k: v for k, v in body.items() if v is not None and k not in (*_STREAMING, _MAIN[endpoint])}
    arguments = {k: v for k, v in given.items() if k in _ARGUMENTS[endpoint]}
    if endpoint == "chat/completions" and upstream.dialect == "kindred":
        arguments = _supported(arguments, upstream.supported)
    rest = {k: v for k, v in given.items() if k not in arguments}
    if "max_tokens" in arguments and "max_tokens" not in given:
        rest.pop("max_completion_tokens", None)
    if endpoint in ("messages", "responses") and upstream.dialect != "foreign":
        call["allowed_openai_params"] = ["reasoning_effort"]  # or litellm refuses what it has no record of
    lost = _lost(endpoint, upstream) & arguments.keys()
    if upstream.dialect == "foreign":
        return LitellmCall(call | arguments, (*sorted(lost), *rest))
    rest |= {k: arguments[k] for k in lost & _SHARED}
    dropped = upstream.drops | (_HINTS if upstream.dialect == "kindred" else frozenset())
    left_out = tuple(sorted(lost - _SHARED)) + tuple(k for k in rest if k in dropped)
    extra = {k: v for k, v in rest.items() if k not in dropped}
    return LitellmCall(call | arguments | ({"extra_body": extra} if extra else {}), left_out)


def _lost(endpoint: Endpoint, upstream: ProviderDialect) -> frozenset[str]:
    """Parameters that litellm takes and forgets on the way from this endpoint to chat completions."""
    if endpoint == "messages":
        return frozenset() if upstream.own_messages else _LOST_OF_MESSAGES
    return _LOST_OF_RESPONSES if endpoint == "responses" and upstream.chat_only else frozenset()


def _whole(endpoint: Endpoint, body: dict[str, Any], upstream: ProviderDialect) -> dict[str, Any]:
    extra = {k: v for k, v in body.items() if k not in _STREAMING}
    if upstream.own_server and endpoint == "chat/completions":
        extra["messages"] = [_with_plain_role(message) for message in body["messages"]]
    call: dict[str, Any] = {"extra_body": extra}
    if endpoint == "chat/completions" and body.get("tools"):
        call["tools"] = body["tools"]  # as an argument as well: litellm counts and routes by them
    if endpoint == "embeddings" and body.get("encoding_format"):
        call["encoding_format"] = body["encoding_format"]  # else the client library asks for what it likes
    return call


def _with_plain_role(message: dict[str, Any]) -> dict[str, Any]:
    """Templates of open models skip or refuse ``developer``."""
    return {**message, "role": "system"} if message.get("role") == "developer" else message


def _supported(arguments: dict[str, Any], supported: frozenset[str]) -> dict[str, Any]:
    """Return the parameters that litellm adapts; it refuses unknown ones, even if the provider knows them."""
    kept = {k: v for k, v in arguments.items() if k in supported}
    if "max_completion_tokens" in arguments and not kept.keys() & {"max_completion_tokens", "max_tokens"}:
        kept |= {"max_tokens": arguments["max_completion_tokens"]} if "max_tokens" in supported else {}
    return kept


def _checked(endpoint: Endpoint, body: dict[str, Any], *, transparent: bool) -> dict[str, Any]:
    """Return the argument that the endpoint is about."""
    match endpoint:
        case "chat/completions" | "messages":
            _check_messages(body)
            if endpoint == "messages" and type(body.get("max_tokens")) is not int:
                raise InvalidRequest("max_tokens: Field required, an integer.", param="max_tokens")
            return {"messages": body["messages"]}
        case "completions":
            prompt = body.get("prompt")
            if _texts(prompt):
                return {"prompt": prompt}
            if not transparent or not isinstance(prompt, list):
                raise InvalidRequest("'prompt' must be a string or an array of strings.", param="prompt")
            # litellm knows no token ids; the real prompt is in extra_body.
            return {"prompt": ""}
        case "embeddings":
            if not isinstance(body.get("input"), str | list) or not body["input"]:
                raise InvalidRequest("'input' must be a string or a non-empty array.", param="input")
            return {"input": body["input"]}
        case "responses":
            given = body.get("input")
            if not (isinstance(given, str) or _objects(given)):
                raise InvalidRequest("'input' must be a string or an array of objects.", param="input")
            _check_tools(body)
            return {"input": given}


def _check_messages(body: dict[str, Any]) -> None:
    messages = body.get("messages")
    if not _objects(messages) or not messages:
        raise InvalidRequest("'messages' must be a non-empty array of objects.", param="messages")
    for index, message in enumerate(messages):
        content = message.get("content")
        if not (content is None or isinstance(content, str) or _objects(content)):
            where = f"messages[{index}].content"
            raise InvalidRequest(f"'{where}' must be a string, null or an array of objects.", param=where)
    _check_tools(body)


def _check_tools(body: dict[str, Any]) -> None:
    if body.get("tools") is not None and not _objects(body["tools"]):
        raise InvalidRequest("'tools' must be an array of objects.", param="tools")


def _objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(x, dict) for x in value)


def _texts(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and bool(value) and all(isinstance(x, str) for x in value)
    )
