"""Groups in the shape of the official JSON Schema test suite, written by hand: what once went wrong, and what is near.

To run the suite itself: unpack PyPI's sdist of jsonschema and set ``JSON_SCHEMA_SUITE`` to its ``json/tests`` folder.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvproxy.core import Constraint, JsonFormat
from kvproxy.engine.decode.llguidance_grammar import LlguidanceGrammar
from kvproxy.errors import UnsupportedSchema
from tests.engine.walk import Walker

GROUPS: list[tuple[dict[str, Any], list[Any], list[Any]]] = [
    ({"const": "hello\u0000there"}, ["hello\u0000there"], ["hellothere"]),
    ({"enum": ["a\u001bb", "c\u007f"]}, ["a\u001bb"], ["ab", "c"]),
    ({"const": {"k\u0001": ["\u0002"]}}, [{"k\u0001": ["\u0002"]}], [{"k": [""]}]),
    ({"type": "string", "pattern": "^\\S$"}, ["a", "\u0001"], ["\ufeff", " ", "\u000b"]),
    ({"type": "string", "pattern": "^\\s$"}, ["\t", "\u000b", "\u2029"], ["\u0085", "a"]),
    ({"type": "string", "pattern": "^.$"}, ["a", "\u0085"], ["\r", "\n", "\u2028"]),
    ({"type": "string", "pattern": "^[[a]]$"}, ["[]", "a]"], ["a", "["]),
    ({"type": "string", "pattern": "^[[:alpha:]]$"}, ["a]", ":]"], ["b"]),
    ({"type": "string", "pattern": "^[a&&b]$"}, ["a", "&", "b"], ["c"]),
    ({"type": "string", "pattern": "^[!--]$"}, ["!", "-", "+"], ["a"]),
    ({"type": "string", "pattern": "^x\u0000y$"}, ["x\u0000y"], ["xy"]),
    ({"type": "string", "pattern": "^\\p{Letter}+$"}, ["é", "ab"], ["1"]),
    (
        {"patternProperties": {"^a\\S$": {"type": "null"}}, "additionalProperties": False},
        [{"ab": None}],
        [{"a\ufeff": None}],
    ),
    ({"maxLength": 2.0, "minLength": 1.0, "type": "string"}, ["a"], ["", "abc"]),
    ({"maxItems": 1.0}, [[1]], [[1, 2]]),
    ({"maxProperties": 1.0}, [{"a": 1}], [{"a": 1, "b": 2}]),
    (
        {"$defs": {"a/b": {"type": "null"}, "c%d": {"type": "boolean"}},
         "prefixItems": [{"$ref": "#/$defs/a~1b"}, {"$ref": "#/$defs/c%25d"}], "minItems": 2, "maxItems": 2},
        [[None, True]],
        [[True, None]],
    ),
    (
        {"$id": "https://a.example/s", "$defs": {"n": {"$id": "n", "$anchor": "x", "type": "integer"}},
         "anyOf": [{"$ref": "n#x"}, {"$ref": "https://a.example/n", "minimum": 3}]},
        [1, 3],
        ["1"],
    ),
    ({"properties": {"$ref": {"type": "string"}}, "required": ["$ref"]}, [{"$ref": "a"}], [{"$ref": 1}]),
    ({"properties": {"n": {"$ref": "#"}}, "additionalProperties": False}, [{"n": {"n": {}}}], [{"n": {"m": 1}}]),
    ({"enum": [{"$ref": "#/a"}]}, [{"$ref": "#/a"}], [{}]),
]  # fmt: skip
"""Schema, what is valid, what is not."""

SUITE = os.environ.get("JSON_SCHEMA_SUITE", "")
DRAFTS = ("draft2020-12", "draft2019-09", "draft7", "draft6", "draft4")
ANNOTATIONS = "draft7/optional/content.json"
"""A file on what a text holds in another encoding: drafts since 2019 forbid to assert it, and nobody here does."""


@pytest.fixture(scope="session")
def real(smollm2: Path) -> Walker:
    return Walker(smollm2)


def admitted(walker: Walker, compiled: LlguidanceGrammar, value: Any) -> bool:
    """In any order of its keys, with U+007F written as an escape."""
    return any(_admitted(walker, compiled, text) for text in spellings(value))


def spellings(value: Any) -> Iterator[str]:
    yield json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, dict) and len(value) <= 4:
        for order in itertools.permutations(value.items()):
            yield json.dumps(dict(order), ensure_ascii=False)


def _admitted(walker: Walker, compiled: LlguidanceGrammar, text: str) -> bool:
    ids, state = walker.encode(text), compiled.start()
    if state.valid(ids) < len(ids):
        return False
    for id in ids:
        state.accept(id)
    return state.done or state.valid([min(walker.eos_ids)]) == 1


@pytest.mark.parametrize(("schema", "valid", "invalid"), GROUPS)
def test_groups(real: Walker, schema: dict[str, Any], valid: list[Any], invalid: list[Any]) -> None:
    compiled = real.grammars.compile_now(Constraint(format=JsonFormat(schema)))
    assert [value for value in valid if not admitted(real, compiled, value)] == []
    assert [value for value in invalid if admitted(real, compiled, value)] == []


@pytest.mark.skipif(
    not SUITE, reason="needs the official suite's files, see above; its faults are in the groups"
)
def test_the_official_suite(real: Walker) -> None:
    """Nothing that a group calls invalid is admitted by a schema that is not refused."""
    wrong, enforced, refused = [], 0, 0
    for path in sorted(p for draft in DRAFTS for p in Path(SUITE).joinpath(draft).rglob("*.json")):
        for group in json.loads(path.read_text(encoding="utf-8")):
            if isinstance(group["schema"], bool) or str(path).endswith(ANNOTATIONS):
                continue
            try:
                compiled = real.grammars.compile_now(Constraint(format=JsonFormat(group["schema"])))
            except UnsupportedSchema:
                refused += 1
                continue
            enforced += 1
            for case in group["tests"]:
                if not case["valid"] and admitted(real, compiled, case["data"]):
                    wrong.append((path.name, group["description"], case["description"]))
    assert wrong == []
    assert enforced > 1000, (enforced, refused)
