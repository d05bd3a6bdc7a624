"""`structure_fields`: an answer's required form in the words of a replica's engine. Pure."""

from __future__ import annotations

import json
from typing import Any

from kvproxy.backends.fleet.completion_body import EngineKind
from kvproxy.core import Constraint, GrammarText
from kvproxy.core.answer_format import GrammarFormat, JsonFormat, RegexFormat
from kvproxy.errors import UnsupportedSchema


def constrained_param(constraint: Constraint) -> str:
    """Return the client's field that a constraint comes from, for errors."""
    return "tools" if constraint.format is None else constraint.format.param


def structure_fields(constraint: Constraint, written: GrammarText | None, kind: EngineKind) -> dict[str, Any]:
    """Return the fields of a body that hold an answer to its form.

    vLLM takes the grammar that the local engine would compile: its guidance backend is the same library. SGLang takes
    a JSON schema or a regular expression alone, without reasoning or tool calls around it. Raises UnsupportedSchema
    naming the field.

    Example: ``structure_fields(constraint, await grammars.written(constraint, caller), "vllm")``
    """
    if kind == "vllm":
        if written is None:
            raise ValueError("a grammar is written for vLLM first")
        return {"structured_outputs": {"grammar": _one_grammar(constraint, written)}}
    wanted = constraint.format
    if constraint.tools or constraint.reasoning != "none":
        raise _refused(constraint, "beside tools or reasoning")
    if isinstance(wanted, JsonFormat):
        return {"json_schema": _json_text(wanted)}
    if isinstance(wanted, RegexFormat):
        return {"regex": wanted.pattern}
    raise _refused(constraint, "in this form")


def _one_grammar(constraint: Constraint, written: GrammarText) -> str:
    """Return the text of one grammar: vLLM has no place for a client's own one beside the rules around it. Raises
    UnsupportedSchema where there are some."""
    wanted = constraint.format
    if not written.text.startswith("{"):
        return written.text
    if isinstance(wanted, GrammarFormat) and not constraint.tools and constraint.reasoning == "none":
        return wanted.text
    param = constrained_param(constraint)
    raise UnsupportedSchema(
        f"Invalid '{param}': this model's engine cannot be held to a Lark grammar beside tools or reasoning.",
        param=param,
    )


def _json_text(wanted: JsonFormat) -> str:
    return json.dumps({"type": "object"} if wanted.schema is None else wanted.schema)


def _refused(constraint: Constraint, where: str) -> UnsupportedSchema:
    param = constrained_param(constraint)
    return UnsupportedSchema(
        f"Invalid '{param}': this model's engine (SGLang) cannot be held to it {where}. "
        "A JSON schema or a regular expression alone works.",
        param=param,
    )
