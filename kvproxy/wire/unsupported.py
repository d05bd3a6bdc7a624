"""Parameters that would change the answer and that the local model cannot honour.

They are refused by name rather than dropped: an answer that silently ignores ``tools`` or ``logprobs`` is a
wrong answer. To support one, delete its row. A value that asks for nothing (``n: 1``, ``tools: []``) passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kvproxy.errors import UnsupportedParameter

_Neutral = Callable[[Any], bool]


def _empty(value: Any) -> bool:
    return value is False or (isinstance(value, str | list | dict) and not value)


def _number(neutral: float) -> _Neutral:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value == neutral


def _one_of(*neutral: Any) -> _Neutral:
    return lambda value: any(type(value) is type(x) and value == x for x in neutral)


_PARAMETERS: Mapping[str, _Neutral] = {
    "tools": _empty,
    "functions": _empty,
    "tool_choice": _one_of("none", "auto"),
    "function_call": _one_of("none", "auto"),
    "response_format": _one_of({"type": "text"}),
    "n": _number(1),
    "best_of": _number(1),
    "logprobs": _empty,
    "top_logprobs": _number(0),
    "prompt_logprobs": _number(0),
    "logit_bias": _empty,
    "presence_penalty": _number(0),
    "frequency_penalty": _number(0),
    "repetition_penalty": _number(1),
    "min_p": _number(0),
    "min_tokens": _number(0),
    "ignore_eos": _empty,
    "stop_token_ids": _empty,
    "bad_words": _empty,
    "structured_outputs": _empty,
    "guided_json": _empty,
    "guided_regex": _empty,
    "guided_choice": _empty,
    "guided_grammar": _empty,
    "modalities": _one_of(["text"], []),
    "audio": _empty,
    "web_search_options": lambda value: False,
}

_MESSAGE_FIELDS: Mapping[str, _Neutral] = {
    "tool_calls": _empty,
    "function_call": _empty,
    "audio": _empty,
}


def refuse_unsupported(body: Mapping[str, Any]) -> None:
    """Raises UnsupportedParameter naming the first parameter of the request that would be ignored."""
    _refuse(body, _PARAMETERS, "")


def refuse_unsupported_message(message: Mapping[str, Any], where: str) -> None:
    """The same for one message; ``where`` is its path, e.g. ``messages[2]``."""
    if message.get("role") in ("tool", "function"):
        raise UnsupportedParameter(
            f"Unsupported value: '{where}.role' is '{message['role']}'; the local model takes no tools yet.",
            param=f"{where}.role",
        )
    _refuse(message, _MESSAGE_FIELDS, f"{where}.")


def _refuse(fields: Mapping[str, Any], table: Mapping[str, _Neutral], prefix: str) -> None:
    for name, neutral in table.items():
        value = fields.get(name)
        if value is not None and not neutral(value):
            param = prefix + name
            raise UnsupportedParameter(
                f"Unsupported parameter: '{param}' is not supported by the local model. Leave it out.",
                param=param,
            )
