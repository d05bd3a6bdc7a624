"""Tool schemas in the shapes that MCP servers, agents and SDKs send, written by hand: what is promised is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from kvproxy.core import Constraint, JsonFormat, Tool, ToolChoice
from kvproxy.errors import UnsupportedSchema
from tests.engine.decode.test_compiled_grammars import admits
from tests.engine.walk import Walker

CORPUS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "schema_corpus" / "tools.json").read_text(encoding="utf-8")
)

ENDLESS = ("claude-code-web-fetch",)
"""A walk that says what it likes never comes to the colon of a URI."""


@pytest.fixture(scope="session")
def real(smollm2: Path) -> Walker:
    return Walker(smollm2)


@pytest.mark.parametrize("name", CORPUS)
def test_what_is_admitted(real: Walker, name: str) -> None:
    case = CORPUS[name]
    wanted = Constraint(format=JsonFormat(case["schema"], strict=False))
    compiled = real.grammars.compile_now(wanted)
    assert [item.what for item in compiled.left_out] == case["left_out"]
    for value in case["valid"]:
        assert admits(real, wanted, json.dumps(value, ensure_ascii=False)), value
    for value in case["invalid"]:
        assert not admits(real, wanted, json.dumps(value, ensure_ascii=False)), value
    if not case["left_out"] and name not in ENDLESS:
        kind = jsonschema.validators.validator_for(case["schema"], default=jsonschema.Draft202012Validator)
        validator = kind(case["schema"], format_checker=kind.FORMAT_CHECKER)
        for seed in range(3):
            validator.validate(
                json.loads(real.text(real.walk(compiled.start(), seed, free=(0, 15, 60)[seed])))
            )


@pytest.mark.parametrize("name", CORPUS)
def test_strict_tools_are_held_to_it_or_refused(real: Walker, name: str) -> None:
    case = CORPUS[name]
    strict = Constraint(
        tools=(Tool("f", parameters=case["schema"], strict=True),), choice=ToolChoice("required")
    )
    if case["left_out"]:
        with pytest.raises(UnsupportedSchema) as caught:
            real.grammars.compile_now(strict)
        assert any(f"'{keyword}'" in caught.value.message for keyword in case["left_out"])
        return
    for value in case["valid"]:
        call = json.dumps(value, ensure_ascii=False)
        assert admits(real, strict, f'<tool_call>\n{{"name": "f", "arguments": {call}}}\n</tool_call>')
