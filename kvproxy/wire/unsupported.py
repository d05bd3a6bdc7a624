"""Parameters that would change the answer and that the local model cannot honour.

They are refused by name rather than dropped: an answer that silently ignores ``audio`` or ``bad_words`` is a
wrong answer. To support one, delete its row. A value that asks for nothing (``best_of: 1``) passes.
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
    "modalities": _one_of(["text"], []),
    "audio": _empty,
    "web_search_options": lambda value: False,
    "best_of": _number(1),
    "use_beam_search": _empty,
    "length_penalty": _number(1),
    "prompt_logprobs": _number(0),
    "bad_words": _empty,
    "allowed_token_ids": _empty,
    "logits_processors": _empty,
    "include_stop_str_in_output": _empty,
    "chat_template": _empty,
    "documents": _empty,
    "continue_final_message": _empty,
    "add_generation_prompt": _one_of(True),
}

_MESSAGE_FIELDS: Mapping[str, _Neutral] = {"audio": _empty}


def refuse_unsupported(body: Mapping[str, Any]) -> None:
    """Raises UnsupportedParameter naming the first parameter of the request that would be ignored."""
    _refuse(body, _PARAMETERS, "")
    messages = body.get("messages")
    for index, message in enumerate(messages if isinstance(messages, list) else ()):
        if isinstance(message, dict):
            _refuse(message, _MESSAGE_FIELDS, f"messages[{index}].")


def _refuse(fields: Mapping[str, Any], table: Mapping[str, _Neutral], prefix: str) -> None:
    for name, neutral in table.items():
        value = fields.get(name)
        if value is not None and not neutral(value):
            param = prefix + name
            raise UnsupportedParameter(
                f"Unsupported parameter: '{param}' is not supported by the local model. Leave it out.",
                param=param,
            )
