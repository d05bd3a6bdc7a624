"""A client's body as litellm's arguments, for each endpoint. Pure.

Only what is named here becomes an argument. Everything else in a client's body is data: were it passed as an
argument too, a body with ``api_base`` would send the configured key to an address of the client's choice.
"""

from __future__ import annotations

from typing import Any

from kvproxy.backends.base import Endpoint
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
"""What litellm can translate for upstreams of another dialect."""

_STREAMING = ("model", "stream", "stream_options")


def call_arguments(endpoint: Endpoint, body: dict[str, Any], *, transparent: bool) -> dict[str, Any]:
    """litellm's arguments for a client's body, without ``stream``.

    ``transparent`` (the upstream speaks OpenAI's own dialect): the whole body travels in ``extra_body``,
    which is laid over what litellm made of the arguments, so the upstream gets what the client sent:
    ``developer`` stays ``developer``; ``user``, ``metadata`` and ``verbosity`` survive. Any other dialect, and
    every translation between dialects, gets the parameters that litellm can translate.

    Raises InvalidRequest for shapes that litellm would trip over; the rest is the upstream's to judge.
    """
    main = _checked(endpoint, body, transparent=transparent)
    call: dict[str, Any] = {"model": body["model"], **main}
    if endpoint == "messages" or not transparent:
        return call | {k: v for k, v in body.items() if k in _ARGUMENTS[endpoint] and v is not None}
    call["extra_body"] = {k: v for k, v in body.items() if k not in _STREAMING}
    if endpoint == "chat/completions" and body.get("tools"):
        call["tools"] = body["tools"]  # as an argument as well: litellm counts and routes by them
    if endpoint == "embeddings" and body.get("encoding_format"):
        call["encoding_format"] = body["encoding_format"]  # else the client library asks for what it likes
    return call


def _checked(endpoint: Endpoint, body: dict[str, Any], *, transparent: bool) -> dict[str, Any]:
    """The argument that the endpoint is about."""
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
