"""Regexes, choices, grammars and tags: what the masks let through is what was asked for, thoughts in front of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.core import Constraint
from kvproxy.core.answer_format import (
    AnswerFormat,
    ChoiceFormat,
    GrammarFormat,
    JsonFormat,
    RegexFormat,
    TaggedJson,
    TagsFormat,
)
from kvproxy.errors import InvalidRequest
from tests.engine.decode.test_compiled_grammars import BARE, NOW, admits
from tests.engine.walk import Walker

ARITHMETIC = r"""
root  ::= (expr "=" ws term "\n")+
expr  ::= term ([-+*/] term)*
term  ::= ident | num | "(" ws expr ")" ws   # a comment
ident ::= [a-z] [a-z0-9_]* ws
num   ::= [0-9]+ ws
ws    ::= [ \t\n]*
"""
LIST = 'root ::= item{1,2}\nitem ::= "- " [^\\n\\x00-\\x1f"/]+ "\\n" # all of it\n'
TAGS = TagsFormat(
    (
        TaggedJson(
            "<f=a>", {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}, "</f>"
        ),
        TaggedJson("<f=b>", {"type": "boolean"}, "</f>"),
    ),
    ("<f=",),
)


@pytest.fixture(scope="session")
def real(smollm2: Path) -> Walker:
    return Walker(smollm2)


CASES: list[tuple[AnswerFormat, str, bool]] = [
    (RegexFormat("[a-c]+x?"), "abcx", True),
    (RegexFormat("[a-c]+x?"), "abcxx", False),
    (RegexFormat("[a-c]+x?"), "", False),
    (RegexFormat("^(yes|no)$"), "yes", True),
    (RegexFormat("^yes$|^no$"), "no", True),
    (RegexFormat("a/b\\/c\"'\\d"), "a/b/c\"'7", True),
    (RegexFormat("a/b\\/c\"'\\d"), "a/b/c\"'٣", False),
    (RegexFormat("\\x00\\u0001\x7f\u2028\\u{1F600}é😀"), "\x00\x01\x7f\u2028😀é😀", True),
    (RegexFormat("x."), "x\n", False),
    (RegexFormat("[[a]&&]"), "[&&]", True),
    (RegexFormat("(a*)*"), "", True),
    (ChoiceFormat(("yes", "yes please", "né\n\x00\x7f\u2028\"\\😀")), "yes", True),
    (ChoiceFormat(("yes", "yes please", "né\n\x00\x7f\u2028\"\\😀")), "yes please", True),
    (ChoiceFormat(("yes", "yes please", "né\n\x00\x7f\u2028\"\\😀")), "yes pl", False),
    (ChoiceFormat(("yes", "yes please", "né\n\x00\x7f\u2028\"\\😀")), "né\n\x00\x7f\u2028\"\\😀", True),
    (GrammarFormat(ARITHMETIC, "gbnf"), "a = 1\n", True),
    (GrammarFormat(ARITHMETIC, "gbnf"), "x+y*(z-12) = 3\nb=c\n", True),
    (GrammarFormat(ARITHMETIC, "gbnf"), "x+ = 3\n", False),
    (GrammarFormat(LIST, "gbnf"), "- é😀 b\n- c\n", True),
    (GrammarFormat(LIST, "gbnf"), "- a\n- b\n- c\n", False),
    (GrammarFormat(LIST, "gbnf"), "- a/b\n", False),
    (GrammarFormat("start: a+\na: /[xy]/ \"!\"", "lark"), "x!y!", True),
    (GrammarFormat("start: a+\na: /[xy]/ \"!\"", "lark"), "x!y", False),
    (TAGS, "free text, 3 < 4", True),
    (TAGS, 'before <f=a>{"x": 1}</f> between <f=b>true</f> behind', True),
    (TAGS, 'before <f=a>{"x": "1"}</f>', False),
    (TAGS, "<f=c>true</f>", False),
    (TAGS, "it ends in <f=", False),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "text", "ok"), CASES)
def test_what_is_admitted(real: Walker, wanted: AnswerFormat, text: str, ok: bool) -> None:
    assert admits(real, Constraint(format=wanted), text) is ok
    assert admits(real, Constraint(format=wanted, reasoning="open"), f"hm <f= {{\n</think>\n\n{text}") is ok
    assert admits(real, Constraint(format=wanted, reasoning="may"), text) is ok


@pytest.mark.parametrize(
    "wanted", [RegexFormat("[ab]{3}"), GrammarFormat(LIST, "gbnf"), GrammarFormat("start: /a/", "lark")]
)
def test_beside_tools_an_answer_or_a_call(real: Walker, wanted: AnswerFormat) -> None:
    beside = Constraint(tools=(BARE,), format=wanted)
    said = (
        "- a\n"
        if wanted == GrammarFormat(LIST, "gbnf")
        else "a"
        if isinstance(wanted, GrammarFormat)
        else "aba"
    )
    assert admits(real, beside, said)
    assert admits(real, beside, NOW)
    assert not admits(real, beside, "something else")


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (RegexFormat("(?=a)a", param="guided_regex"), "look-around"),
        (RegexFormat("(", param="guided_regex"), "unclosed group"),
        (RegexFormat(r"(a)\1", param="guided_regex"), "backreference"),
        (RegexFormat("(?s)a.", param="guided_regex"), "flags"),
        # Too many expressions, or more than the time that it may take: a slow machine meets that bound first.
        (RegexFormat("((a{1000}){1000}){1000}", param="guided_regex"), "cannot be enforced"),
        (GrammarFormat("root ::= x", "gbnf", param="grammar"), "'x' is not defined"),
        (GrammarFormat('rot ::= "x"', "gbnf", param="grammar"), "no rule 'root'"),
        (GrammarFormat('root ::= "x', "gbnf", param="grammar"), "line 1"),
        (GrammarFormat("root ::= [b-a]", "gbnf", param="grammar"), "ends before it begins"),
        (GrammarFormat("root ::= <think>", "gbnf", param="grammar"), "tokens"),
        (GrammarFormat("root ::= root", "gbnf", param="grammar"), "cannot be enforced"),
        (GrammarFormat("start: nothing", "lark", param="ebnf"), "nothing"),
        (GrammarFormat("start: %json {}", "lark", param="ebnf"), "%json"),
        (GrammarFormat("start: A\nA: /a/" + " & /a/" * 9, "lark", param="ebnf"), "intersections"),
    ],
)
def test_what_cannot_be_enforced_names_the_field(real: Walker, wanted: AnswerFormat, says: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        real.grammars.compile_now(Constraint(format=wanted))
    assert caught.value.param == wanted.param
    assert says in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "code", [*range(0x20), 0x22, 0x5C, 0x2F, 0x7F, 0x80, 0x2028, 0x2029, 0xFEFF, 0xFFFF, 0x1F600]
)
def test_every_character_is_kept_in_every_place(real: Walker, code: int) -> None:
    """None is passed over: a value without it is not admitted in its place."""
    c = chr(code)
    spelled = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}.get(code)
    spelled = spelled or (f"\\u{code:04x}" if code < 0x20 or code == 0x7F else c)
    places: list[tuple[dict[str, object], str]] = [
        ({"const": f"a{c}b"}, '"a%sb"'),
        ({"enum": ["x", f"a{c}b"]}, '"a%sb"'),
        ({"type": "string", "pattern": "^a[" + c.replace("\\", "\\\\") + "]b$"}, '"a%sb"'),
        ({"type": "string", "pattern": f"^a\\u{{{code:x}}}b$"}, '"a%sb"'),
        ({"type": "string", "minLength": 3, "maxLength": 3}, '"a%sb"'),
    ]
    for schema, text in places:
        wanted = Constraint(format=JsonFormat(schema))
        assert admits(real, wanted, text % spelled), schema
        assert not admits(real, wanted, text % ""), schema


def test_a_control_character_that_could_be_lost_is_a_refusal(real: Walker) -> None:
    open_object = {
        "type": "object",
        "properties": {"a": {"const": "x\x00y"}},
        "additionalProperties": {"type": "null"},
    }
    with pytest.raises(InvalidRequest, match="control character"):
        real.grammars.compile_now(Constraint(format=JsonFormat(open_object)))
    closed = {**open_object, "additionalProperties": False}
    assert admits(real, Constraint(format=JsonFormat(closed)), '{"a": "x\\u0000y"}')
    wished = real.grammars.compile_now(Constraint(format=JsonFormat(open_object, strict=False)))
    assert wished.left_out
