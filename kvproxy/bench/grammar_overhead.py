"""``kvproxy bench grammar``: the cost of holding an answer to a grammar, on a model's own vocabulary."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvproxy.bench.engine.grammar_cost import answer_cost
from kvproxy.core import Constraint, JsonFormat, Tool, ToolChoice
from kvproxy.documents.tokens.tokenizer import Tokenizer, read_json
from kvproxy.engine.decode.compiled_grammars import Grammars
from kvproxy.wire.answer_formats.answer_grammar import grammar_of

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "born": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"enum": ["author", "editor", "reader"]}},
        "address": {"anyOf": [{"$ref": "#/$defs/Address"}, {"type": "null"}]},
    },
    "required": ["name", "born", "tags", "address"],
    "additionalProperties": False,
    "$defs": {
        "Address": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "number": {"type": "integer", "minimum": 1}},
            "required": ["street", "number"],
            "additionalProperties": False,
        }
    },
}
ANSWER = (
    '{"name": "Anna Maria Huber, the younger of two sisters from Graz", "born": "1990-04-17", '
    '"tags": ["author", "reader"], "address": {"street": "Am Fuße des Schloßbergs", "number": 12}}'
)
TOOL = Tool("save_person", parameters=PERSON, strict=True)
CALL = f'<tool_call>\n{{"name": "save_person", "arguments": {ANSWER}}}\n</tool_call>'
PROSE = "Anna is a writer from Graz, and she reads more than she writes.\n\n"

CASES: Mapping[str, tuple[Constraint, str]] = {
    "any JSON object": (Constraint(format=JsonFormat()), ANSWER),
    "schema": (Constraint(format=JsonFormat(PERSON)), ANSWER),
    "forced call": (Constraint(tools=(TOOL,), choice=ToolChoice("required")), CALL),
    "text, strict tool": (Constraint(tools=(TOOL,)), PROSE * 4 + CALL),
}


def bench_grammar(folder: Path, *, repeats: int = 20) -> dict[str, Any]:
    """Measure masks and advances. ``folder``: a model's, of which only the tokenizer and config.json are read. Times
    in microseconds per token, but tables and compilation in milliseconds.

    A mask is counted with setting the logits, each answer on a grammar that was compiled anew: the library
    remembers parts of an earlier answer, which help the next one.
    """
    tokenizer = Tokenizer.load(folder)
    width = read_json(folder / "config.json")["vocab_size"]
    grammars = Grammars(folder, tokenizer.eos_ids, width, grammar_of)
    began = time.perf_counter()
    grammars.tables()
    tables_ms = (time.perf_counter() - began) * 1e3
    try:
        rows = [_case(name, grammars, tokenizer, width, repeats) for name in CASES]
    finally:
        grammars.close()
    return {"vocabulary": width, "tables_ms": round(tables_ms, 1), "repeats": repeats, "grammars": rows}


def _case(name: str, grammars: Grammars, tokenizer: Tokenizer, width: int, repeats: int) -> dict[str, Any]:
    constraint, text = CASES[name]
    token_ids = _encode(tokenizer, text)
    compile_s, masks, accepts = [], [], []
    for _ in range(repeats):
        began = time.perf_counter()
        compiled = grammars.compile_now(constraint)
        compile_s.append(time.perf_counter() - began)
        for mask, accept in answer_cost(compiled, token_ids, width):
            masks.append(mask)
            accepts.append(accept)
    masks.sort()
    return {
        "grammar": name,
        "tokens": len(token_ids),
        "compile_ms": round(statistics.median(compile_s) * 1e3, 2),
        "mask_p50_us": round(statistics.median(masks) * 1e6, 1),
        "mask_mean_us": round(statistics.fmean(masks) * 1e6, 1),
        "mask_p95_us": round(masks[int(len(masks) * 0.95)] * 1e6, 1),
        "accept_mean_us": round(statistics.fmean(accepts) * 1e6, 1),
    }


def _encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """With the marks of a call as single tokens, where the model has them."""
    ids: list[int] = []
    for piece in tokenizer.pieces(text):
        ids += [piece] if isinstance(piece, int) else tokenizer.encode_text(piece)
    return ids
