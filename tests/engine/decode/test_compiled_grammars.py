"""Whatever the masks let through is what was asked for, on a real vocabulary and on one with Qwen3's marks."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

from kvproxy.core import Caller, Constraint, GrammarText, JsonFormat, Reasoning, Tool, ToolChoice
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.engine.decode.compiled_grammars import Check, Grammars
from kvproxy.errors import InvalidRequest, KVProxyError, UnsupportedSchema
from kvproxy.wire.answer_formats.answer_grammar import grammar_of
from tests.documents.models import write_model
from tests.engine.schema_corpus import CORPUS
from tests.engine.walk import Walker

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 10}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city"],
}
STRICT = Tool("weather", parameters=CITY, strict=True)
LOOSE = Tool(
    "search", parameters={"type": "object", "properties": {"q": {"enum": ["a", "b"]}}, "required": ["q"]}
)
BARE = Tool("now")
TOOLS = (STRICT, LOOSE, BARE)
FORCED = ToolChoice("required")
CALL = re.compile(r'<tool_call>\n\{"name": "(\w+)", "arguments": (.*)\}\n</tool_call>', re.DOTALL)


@pytest.fixture(scope="session")
def real(smollm2: Path) -> Walker:
    """49,152 tokens; no mark of a call or a thought is a token."""
    return Walker(smollm2)


@pytest.fixture(scope="session")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Walker:
    """A small vocabulary in which ``<think>`` and ``<tool_call>`` are tokens, and with two end tokens."""
    folder = write_model(tmp_path_factory.mktemp("marked"), "qwen3")
    control = Tokenizer.load(folder).control
    return Walker(folder, frozenset(control[text] for text in ("<|im_end|>", "<|endoftext|>")))


@pytest.fixture(params=["real", "marked"])
def walker(request: pytest.FixtureRequest) -> Walker:
    found: Walker = request.getfixturevalue(request.param)
    return found


def holds(value: Any, schema: dict[str, Any]) -> None:
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    kind(schema, format_checker=kind.FORMAT_CHECKER).validate(value)


def admits(walker: Walker, constraint: Constraint, text: str) -> bool:
    """Whether the whole text and each end token behind it can be said, by the draft check and by the masks."""
    compiled = walker.grammars.compile_now(constraint)
    ids = walker.encode(text)
    state = compiled.start()
    by_draft = all(state.valid([*ids, end]) == len(ids) + 1 for end in walker.eos_ids)
    for id in ids:
        if id not in walker.allowed(state):
            assert not by_draft, text
            return False
        state.accept(id)
    by_masks = walker.eos_ids <= set(walker.allowed(state))
    assert by_draft == by_masks, text
    return by_masks


@pytest.mark.parametrize("name", CORPUS)
def test_every_walk_of_every_schema_ends_in_a_valid_value(real: Walker, name: str) -> None:
    compiled = real.grammars.compile_now(Constraint(format=JsonFormat(CORPUS[name])))
    for seed in range(4):
        text = real.text(real.walk(compiled.start(), seed, free=(0, 10, 40, 80)[seed]))
        holds(json.loads(text), CORPUS[name])


@pytest.mark.parametrize(
    "name", ["openai-ui", "pydantic", "recursive-mutual", "unicode-keys", "enum-unicode"]
)
def test_small_vocabularies_too(marked: Walker, name: str) -> None:
    compiled = marked.grammars.compile_now(Constraint(format=JsonFormat(CORPUS[name])))
    for seed in range(3):
        holds(json.loads(marked.text(marked.walk(compiled.start(), seed))), CORPUS[name])


def test_properties_come_in_the_order_of_the_schema(real: Walker) -> None:
    compiled = real.grammars.compile_now(Constraint(format=JsonFormat(CORPUS["order"])))
    assert list(json.loads(real.text(real.walk(compiled.start(), 1)))) == ["zebra", "apple", "mango"]


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        ("{}", True),
        ('{"a": [1, {"b": null}], "ö": "é"}', True),
        ("[]", False),
        ('"text"', False),
        (' {"a": 1}', False),
        ('{"a":1}', False),
        ('{"a": 1}\n', False),
        ("", False),
    ],
)
def test_any_json_object(walker: Walker, text: str, ok: bool) -> None:
    assert admits(walker, Constraint(format=JsonFormat()), text) is ok


def test_a_key_cannot_be_written_twice_in_disguise(real: Walker) -> None:
    schema = {
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": {"type": "string"},
    }
    wanted = Constraint(format=JsonFormat({"type": "object", **schema}))
    assert admits(real, wanted, '{"a": 1, "b": "x"}')
    assert not admits(real, wanted, '{"a": 1, "\\u0061": "x"}')
    assert not admits(real, wanted, '{"a": 1, "a": "x"}')


@pytest.mark.parametrize(
    ("kind", "text", "ok"),
    [
        ("date", "2024-02-29", True),
        ("date", "2023-02-29", False),
        ("date", "1900-02-29", False),
        ("date", "2000-02-29", True),
        ("date", "0000-01-01", False),
        ("date-time", "2024-12-31T23:59:59.5Z", True),
        ("date-time", "2024-12-31 23:59:59Z", False),
        ("time", "23:59:60Z", False),
        ("time", "00:00:00+02:00", True),
    ],
)
def test_dates_are_dates(real: Walker, kind: str, text: str, ok: bool) -> None:
    wanted = Constraint(format=JsonFormat({"type": "string", "format": kind}))
    assert admits(real, wanted, json.dumps(text)) is ok


def test_bounds_beyond_a_float_are_kept(real: Walker) -> None:
    wanted = Constraint(format=JsonFormat(CORPUS["integer-int64"]))
    assert admits(real, wanted, "9223372036854760000")
    assert not admits(real, wanted, "9223372036854775808")
    assert not admits(real, wanted, "-9223372036854775809")


WEATHER = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo", "days": 2}}\n</tool_call>'
NOW = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
WRONG = '<tool_call>\n{"name": "weather", "arguments": {"days": 2}}\n</tool_call>'
SEARCH_WRONG = '<tool_call>\n{"name": "search", "arguments": {"r": 1}}\n</tool_call>'
SEARCH = '<tool_call>\n{"name": "search", "arguments": {"q": "a"}}\n</tool_call>'


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        (WEATHER, True),
        (f"{WEATHER}\n{NOW}\n{SEARCH}", True),
        ("Sure.", False),
        (f"Sure. {WEATHER}", False),
        (f"{WEATHER}{NOW}", False),
        (f"{WEATHER} done", False),
        (WRONG, False),
        (SEARCH_WRONG, False),
        ('<tool_call>\n{"name": "other", "arguments": {}}\n</tool_call>', False),
        ("", False),
    ],
)
def test_forced_calls(walker: Walker, text: str, ok: bool) -> None:
    assert admits(walker, Constraint(tools=TOOLS, choice=FORCED), text) is ok


def test_one_forced_call_ends_the_answer(walker: Walker) -> None:
    one = Constraint(tools=TOOLS, choice=ToolChoice("required", ("weather",)), parallel=False)
    state = walker.grammars.compile_now(one).start()
    for id in walker.encode(WEATHER):
        assert not state.done
        state.accept(id)
    assert state.done
    assert set(walker.allowed(state)) == walker.eos_ids
    assert not admits(walker, one, NOW)
    assert not admits(walker, one, f"{WEATHER}\n{WEATHER}")


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        ("It rains in Oslo, 3 < 4.", True),
        ("", True),
        ("half a mark: <tool_cal", True),
        (WEATHER, True),
        (f"Let me look.\n{WEATHER}\n{NOW}", True),
        (SEARCH_WRONG, True),  # not strict: any object
        (WRONG, False),
        (f"Let me look.\n{WRONG}", False),
        ("<tool_call> is how a call begins", False),
        (f"{WEATHER} and more", False),
    ],
)
def test_strict_tools_that_may_be_called(walker: Walker, text: str, ok: bool) -> None:
    assert admits(walker, Constraint(tools=TOOLS), text) is ok


def test_text_cannot_spell_a_mark_that_is_a_token(marked: Walker) -> None:
    spelled = marked.tokenizer.encode_text("a <tool_call> b")
    state = marked.grammars.compile_now(Constraint(tools=TOOLS)).start()
    assert 0 < state.valid(spelled) < len(spelled)


@pytest.mark.parametrize(
    ("text", "ok"), [('{"a": 1}', True), (WEATHER, True), ("text", False), (f'{{"a": 1}}\n{WEATHER}', False)]
)
def test_a_json_answer_or_calls(walker: Walker, text: str, ok: bool) -> None:
    assert admits(walker, Constraint(tools=TOOLS, format=JsonFormat()), text) is ok


@pytest.mark.parametrize(
    ("reasoning", "text", "ok"),
    [
        ("none", "<think>\nhm\n</think>\n\n{}", False),
        ("may", "<think>\nhm {} [\n</think>\n\n{}", True),
        ("may", "<think></think>{}", True),
        ("may", "{}", True),
        ("may", "<think>\nhm", False),
        ("may", "hm</think>{}", False),
        ("open", "hm\n</think>\n\n{}", True),
        ("open", "</think>{}", True),
        ("open", "{}", False),
        ("open", "hm</think>[]", False),
    ],
)
def test_thoughts_come_before_what_is_enforced(
    walker: Walker, reasoning: Reasoning, text: str, ok: bool
) -> None:
    assert admits(walker, Constraint(format=JsonFormat(), reasoning=reasoning), text) is ok


@pytest.mark.parametrize("reasoning", ["none", "may", "open"])
def test_walks_through_forced_calls_are_calls(walker: Walker, reasoning: Reasoning) -> None:
    wanted = Constraint(tools=TOOLS, choice=FORCED, reasoning=reasoning, parallel=False)
    compiled = walker.grammars.compile_now(wanted)
    for seed in range(4):
        text = walker.text(walker.walk(compiled.start(), seed, free=5 * seed, say="</think>"))
        found = CALL.fullmatch(text[text.rfind("<tool_call>") :])
        assert found is not None, text
        schemas = {tool.name: dict(tool.parameters or {"maxProperties": 0}) for tool in TOOLS}
        holds(json.loads(found[2]), schemas[found[1]])


def test_calls_in_llamas_format(walker: Walker) -> None:
    auto = Constraint(tools=TOOLS, tool_format="llama3_json")
    assert admits(walker, auto, '{"name": "weather", "parameters": {"city": "Oslo"}}')
    assert admits(walker, auto, "It is {cold}.")
    assert not admits(walker, auto, '{"name": "weather", "parameters": {}}')
    assert not admits(walker, auto, '{"weather": 1}')
    forced = Constraint(tools=TOOLS, tool_format="llama3_json", choice=FORCED)
    assert admits(walker, forced, '{"name": "now", "parameters": {}}')
    assert not admits(walker, forced, "It is cold.")


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("uniqueItems", {"type": "array", "uniqueItems": True}),
    ("not", {"not": {"type": "string"}}),
    ("if", {"if": {"type": "string"}, "then": {"minLength": 2}}),
    ("dependentRequired", {"type": "object", "dependentRequired": {"a": ["b"]}}),
    ("dependencies", {"type": "object", "dependencies": {"a": ["b"]}}),
    ("contains", {"type": "array", "contains": {"type": "null"}}),
    ("unevaluatedProperties", {"allOf": [{"type": "object"}], "unevaluatedProperties": False}),
    ("propertyNames", {"type": "object", "propertyNames": {"minLength": 3}}),
    ("format", {"type": "string", "format": "json-pointer"}),
    ("pattern", {"type": "string", "pattern": "(?=.*[A-Z])a+"}),
    ("pattern", {"type": "string", "pattern": r"(a)\1"}),
    ("oneOf", {"oneOf": [{"type": "integer"}, {"type": "number"}]}),
    ("minProperties", {"type": "object", "minProperties": 3}),
    ("minProperties", {"properties": {"a": {}, "b": {}, "c": {}}, "type": "object", "minProperties": 2}),
    ("patternProperties", {"type": "object", "patternProperties": {"^a": {}, "a$": {}}}),
    ("$ref", {"$ref": "https://example.com/schema.json"}),
    ("$ref", {"$ref": "#/$defs/none"}),
    ("$dynamicRef", {"$dynamicRef": "#node"}),
    ("const", {"const": 2**53 + 1}),
]


@pytest.mark.parametrize(("keyword", "schema"), REFUSED)
def test_what_cannot_be_enforced_is_refused_by_name(
    marked: Walker, keyword: str, schema: dict[str, Any]
) -> None:
    nested = {"type": "object", "properties": {"x": {"type": "array", "items": schema}}, "required": ["x"]}
    if "$defs" in json.dumps(schema):
        nested = schema
    with pytest.raises(UnsupportedSchema) as caught:
        marked.grammars.compile_now(Constraint(format=JsonFormat(nested)))
    assert keyword in caught.value.message
    assert caught.value.param == "response_format"
    strict = Constraint(tools=(BARE, Tool("f", parameters=nested, strict=True)), choice=FORCED)
    with pytest.raises(UnsupportedSchema) as caught:
        marked.grammars.compile_now(strict)
    assert keyword in caught.value.message
    assert "'f'" in caught.value.message
    assert caught.value.param == "tools[1].function.parameters"


def test_what_nothing_satisfies_is_refused(marked: Walker) -> None:
    none: list[dict[str, Any]] = [{"type": "integer", "minimum": 3, "maximum": 2}, {"not": {}}, {"enum": []}]
    for schema in none:
        with pytest.raises(UnsupportedSchema):
            marked.grammars.compile_now(Constraint(format=JsonFormat(schema)))


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"},
    ],
    ids=["itself", "its own branch"],
)
def test_what_fails_at_the_first_token_is_refused_before_it(marked: Walker, schema: dict[str, Any]) -> None:
    for limited, param in (
        (Constraint(format=JsonFormat(schema)), "response_format"),
        (
            Constraint(
                tools=(
                    Tool(
                        "f",
                        parameters={"type": "object", "properties": {"x": {}}, "allOf": [schema]},
                        strict=True,
                    ),
                ),
                choice=FORCED,
            ),
            "tools[0].function.parameters",
        ),
    ):
        with pytest.raises(UnsupportedSchema) as caught:
            marked.grammars.compile_now(limited)
        assert caught.value.param == param
        assert "\n" not in caught.value.message


@pytest.mark.parametrize(("keyword", "schema"), REFUSED)
def test_a_loose_tool_is_held_to_the_rest_of_its_schema(
    marked: Walker, keyword: str, schema: dict[str, Any]
) -> None:
    parameters = {"type": "object", "properties": {"n": {"type": "integer"}, "x": schema}, "required": ["n"]}
    wanted = Constraint(tools=(Tool("f", parameters=parameters),), choice=FORCED)
    assert admits(marked, wanted, '<tool_call>\n{"name": "f", "arguments": {"n": 1}}\n</tool_call>')
    assert not admits(marked, wanted, '<tool_call>\n{"name": "f", "arguments": {"n": "1"}}\n</tool_call>')
    assert not admits(marked, wanted, '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>')
    left = marked.grammars.compile_now(wanted).left_out
    assert [item.param for item in left] == ["tools[0].function.parameters"] * len(left)
    assert any(keyword in item.what for item in left)


@pytest.mark.parametrize(("keyword", "schema"), REFUSED)
def test_a_schema_that_is_not_strict_is_kept_as_far_as_it_can_be(
    real: Walker, keyword: str, schema: dict[str, Any]
) -> None:
    whole = {"type": "object", "properties": {"n": {"type": "integer"}, "x": schema}, "required": ["n", "x"]}
    wanted = Constraint(format=JsonFormat(whole, strict=False, param="text.format.schema"))
    compiled = real.grammars.compile_now(wanted)
    left = compiled.left_out
    assert [item.param for item in left] == ["text.format.schema"] * len(left)
    assert any(keyword in item.what for item in left), left
    assert not admits(real, wanted, '{"n": "1", "x": null}')
    for seed in range(2):
        value = json.loads(real.text(real.walk(compiled.start(), seed, free=(0, 20)[seed])))
        assert value.keys() == {"n", "x"} and isinstance(value["n"], int)


def test_what_can_be_enforced_is_enforced_without_strict_too(real: Walker) -> None:
    for name, schema in CORPUS.items():
        held = real.grammars.compile_now(Constraint(format=JsonFormat(schema)))
        wished = real.grammars.compile_now(Constraint(format=JsonFormat(schema, strict=False)))
        assert (wished.text, wished.left_out) == (held.text, ()), name


def test_drafts_change_nothing_and_states_are_their_own(walker: Walker) -> None:
    compiled = walker.grammars.compile_now(Constraint(tools=TOOLS, choice=FORCED))
    ids = walker.encode(WEATHER)
    one, other = compiled.start(), compiled.start()
    for at, id in enumerate(ids):
        before = walker.allowed(one)
        assert one.valid(ids[at:]) == len(ids) - at
        assert one.valid([]) == 0
        assert one.valid([min(walker.eos_ids)]) == 0
        assert walker.allowed(one) == before
        one.accept(id)
    for id in ids:  # never masked, never asked
        other.accept(id)
    fresh = compiled.start()
    assert walker.allowed(one) == walker.allowed(other)
    assert walker.allowed(fresh) != walker.allowed(one)
    assert one.valid(walker.encode(f"\n{NOW}")) == len(walker.encode(f"\n{NOW}"))


def test_an_end_token_ends(walker: Walker) -> None:
    state = walker.grammars.compile_now(Constraint(tools=TOOLS)).start()
    for id in walker.encode("Hello"):
        state.accept(id)
    before = state.done
    state.accept(min(walker.eos_ids))
    assert (before, state.done) == (False, True)
    assert set(walker.allowed(state)) == walker.eos_ids
    assert state.valid(walker.encode("more")) == 0


def test_a_token_that_cannot_follow_is_an_error(real: Walker) -> None:
    state = real.grammars.compile_now(Constraint(format=JsonFormat())).start()
    with pytest.raises(KVProxyError):
        state.accept(real.encode("x")[0])
    with pytest.raises(KVProxyError):
        state.mask(torch.zeros(real.vocab_size))


ALICE = Caller("alice", "a")
BOB = Caller("bob", "b")


class Counting:
    """A writer that counts and can be held."""

    def __init__(self) -> None:
        self.calls = 0
        self.go = threading.Event()

    def __call__(self, constraint: Constraint, special: Collection[str], check: Check) -> GrammarText:
        self.calls += 1
        assert self.go.wait(10)
        return grammar_of(constraint, special, check)


@pytest.fixture
def counting(tmp_path: Path) -> tuple[Counting, Grammars]:
    folder = write_model(tmp_path, "qwen3")
    writer = Counting()
    return writer, Grammars(folder, frozenset({0}), 3000, writer, kept=2)


async def test_equal_compilations_share_one(counting: tuple[Counting, Grammars]) -> None:
    writer, grammars = counting
    wanted = Constraint(format=JsonFormat())
    leaves = asyncio.create_task(grammars.compile(wanted, ALICE))
    stays = [asyncio.create_task(grammars.compile(Constraint(format=JsonFormat()), ALICE)) for _ in range(3)]
    await asyncio.sleep(0.01)
    leaves.cancel()
    writer.go.set()
    found = await asyncio.gather(*stays)
    assert leaves.cancelled()
    assert writer.calls == 1
    assert len({id(one) for one in found}) == 1
    assert await grammars.compile(wanted, ALICE) is found[0]


async def test_the_least_recently_used_grammar_goes(counting: tuple[Counting, Grammars]) -> None:
    writer, grammars = counting
    writer.go.set()
    wanted = [Constraint(format=JsonFormat({"const": n})) for n in range(3)]
    first = await grammars.compile(wanted[0], ALICE)
    await grammars.compile(wanted[1], ALICE)
    assert await grammars.compile(wanted[0], ALICE) is first
    await grammars.compile(wanted[2], ALICE)
    assert await grammars.compile(wanted[0], ALICE) is first
    assert writer.calls == 3
    await grammars.compile(wanted[1], ALICE)
    assert writer.calls == 4


async def test_another_scope_finds_nothing_of_it(counting: tuple[Counting, Grammars]) -> None:
    """Neither what is kept nor what is being compiled: the time would tell that another tenant asked for the same."""
    writer, grammars = counting
    wanted = Constraint(format=JsonFormat())
    salted = Caller("alice", "a", salt="s")
    running = [asyncio.create_task(grammars.compile(wanted, caller)) for caller in (ALICE, BOB, salted)]
    writer.go.set()
    found = await asyncio.gather(*running)
    assert writer.calls == 3 and len({id(one) for one in found}) == 3
    grammars.close()


async def test_failures_are_not_kept(counting: tuple[Counting, Grammars]) -> None:
    writer, grammars = counting
    writer.go.set()
    await grammars.prepare()
    for _ in range(2):
        with pytest.raises(UnsupportedSchema):
            await grammars.compile(Constraint(format=JsonFormat({"not": {"type": "null"}})), ALICE)
    assert writer.calls == 2


async def test_a_schema_that_is_too_deep_to_be_told_apart_is_refused(
    counting: tuple[Counting, Grammars],
) -> None:
    schema: dict[str, Any] = {}
    for _ in range(2000):
        schema = {"items": schema}
    with pytest.raises(UnsupportedSchema, match="too deeply"):
        await counting[1].compile(Constraint(format=JsonFormat(schema)), ALICE)


@pytest.mark.parametrize(("eos", "width"), [(frozenset[int](), 3000), (frozenset({0}), 10)])
async def test_a_tokenizer_that_does_not_fit_refuses_requests_with_a_grammar(
    tmp_path: Path, eos: frozenset[int], width: int
) -> None:
    grammars = Grammars(write_model(tmp_path, "qwen3"), eos, width, grammar_of)
    await grammars.prepare()
    with pytest.raises(InvalidRequest, match="tokenizer"):
        await grammars.compile(Constraint(format=JsonFormat()), ALICE)
