"""Fields with which clients of vLLM, SGLang and llama.cpp constrain an answer, accepted by every endpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import Field

from kvproxy.core.answer_format import AnswerFormat, JsonFormat
from kvproxy.errors import InvalidRequest, UnsupportedParameter
from kvproxy.wire.answer_formats.read_format import (
    choice_format,
    grammar_format,
    json_format,
    regex_format,
    tags_format,
)
from kvproxy.wire.answer_formats.structured_outputs import check_whitespace, is_set, structured_outputs_format
from kvproxy.wire.bodies.strict import Strict

_READERS: Mapping[str, Callable[[object, str], AnswerFormat | None]] = {
    "structured_outputs": structured_outputs_format,
    "guided_json": json_format,
    "guided_regex": regex_format,
    "guided_choice": choice_format,
    "guided_grammar": grammar_format,
    "guided_json_object": lambda value, param: JsonFormat(param=param),
    "structural_tag": tags_format,
    "json_schema": json_format,
    "regex": regex_format,
    "ebnf": grammar_format,
    "grammar": lambda value, param: grammar_field(value, param),
}
ENFORCED_FIELDS = frozenset(_READERS)
"""Each is enforced to the letter, or refused by name."""
_GRAMMAR_TYPES: Mapping[str, Callable[[object, str], AnswerFormat]] = {
    "json": json_format,
    "json_schema": json_format,
    "regex": regex_format,
}


class EngineFormatsBody(Strict):
    """Fields of other engines that constrain the whole answer. A request may use one of them."""

    structured_outputs: Any = Field(
        default=None,
        description="vLLM's: an object with one of json, regex, choice, grammar, json_object, structural_tag.",
    )
    guided_json: Any = Field(default=None, description="vLLM's older name: a JSON schema, or its text.")
    guided_regex: Any = Field(
        default=None, description="vLLM's older name: a regex the whole answer matches."
    )
    guided_choice: Any = Field(
        default=None, description="vLLM's older name: the answer is one of these texts."
    )
    guided_grammar: Any = Field(default=None, description="vLLM's older name: a grammar, GBNF or Lark.")
    guided_json_object: Any = Field(default=None, description="vLLM's older name: any JSON object.")
    guided_decoding_backend: Any = Field(default=None, description="A hint; there is one way here.")
    guided_whitespace_pattern: Any = Field(
        default=None, description="Must admit the layout of JSON here: one space behind commas and colons."
    )
    structural_tag: Any = Field(default=None, description="SGLang's: structures and triggers, or their text.")
    json_schema: Any = Field(
        default=None, description="llama.cpp's and SGLang's: a JSON schema, or its text."
    )
    regex: Any = Field(default=None, description="SGLang's: a regex the whole answer matches.")
    ebnf: Any = Field(default=None, description="SGLang's: a grammar.")
    grammar: Any = Field(default=None, description="llama.cpp's: a grammar in GBNF; TGI's: type and value.")
    grammar_lazy: Any = Field(default=None, description="Not supported.")

    def answer_format(self, own: AnswerFormat | None, own_param: str) -> AnswerFormat | None:
        """Return the one constraint of a request. ``own`` is that of the endpoint's own field, ``own_param`` its name.

        Raises InvalidRequest naming both fields where two differ, UnsupportedParameter.
        """
        if is_set(self.grammar_lazy):
            raise UnsupportedParameter(
                "Unsupported parameter: 'grammar_lazy' is not supported by the local model. Leave it out.",
                param="grammar_lazy",
            )
        if is_set(self.guided_whitespace_pattern):
            check_whitespace(self.guided_whitespace_pattern, "guided_whitespace_pattern")
        found, found_param = own, own_param
        for field, read in _READERS.items():
            value = getattr(self, field)
            wanted = read(value, field) if is_set(value) and value not in ("", {}, []) else None
            if wanted is None:
                continue
            if found is not None and found != wanted:
                raise InvalidRequest(
                    f"Invalid '{field}': it and '{found_param}' ask for two different answers. Send one of them.",
                    param=field,
                )
            found, found_param = (wanted, field) if found is None else (found, found_param)
        return found


def grammar_field(value: object, param: str) -> AnswerFormat:
    """Read a grammar's text, or TGI's ``{"type": "json" | "regex", "value": …}``.

    Raises InvalidRequest, UnsupportedParameter.
    """
    if not isinstance(value, dict):
        return grammar_format(value, param)
    read = _GRAMMAR_TYPES.get(str(value.get("type")))
    if read is None:
        raise UnsupportedParameter(
            f"Unsupported value: '{param}.type' must be 'json' or 'regex'.", param=f"{param}.type"
        )
    return read(value.get("value"), f"{param}.value")
