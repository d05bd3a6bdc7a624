"""The cause of a difference, on openings as real clients write them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from kvproxy.core import MissCause
from kvproxy.explain.difference_cause import cause_of, volatile_cause
from kvproxy.explain.text_difference import first_difference

SYSTEM = "<|im_start|>system\n"
BODY = "You are a careful assistant for the support desk of Example Ltd. Answer in English, and be brief.\n"
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("search", "fetch", "write")
]


def framed(opening: str) -> str:
    return f"{SYSTEM}{opening}{BODY}"


def listed(tools: object) -> str:
    return f"{SYSTEM}{BODY}# Tools\n<tools>\n{tools}\n</tools><|im_end|>\n"


def lines(tools: Sequence[object]) -> str:
    return "\n".join(json.dumps(tool) for tool in tools)


TIMES = [
    ("Today is 2026-11-29.\n", "Today is 2026-11-30.\n"),
    ("Today is Nov 30.\n", "Today is Dec 1.\n"),
    ("Today is Nov 29.\n", "Today is Nov 30.\n"),
    ("Today is Monday.\n", "Today is Tuesday.\n"),
    ("Today's date: 11/29/2026\n", "Today's date: 11/30/2026\n"),
    ("Current time: 2026-11-30T09:31:12Z\n", "Current time: 2026-11-30T10:02:00Z\n"),
    ("Current time: 2026-11-30T09:31:12.123456+00:00\n", "Current time: 2026-11-30T09:31:13.9+00:00\n"),
    (
        "The current date and time is 30 November 2026, 9:31 pm.\n",
        "The current date and time is 1 December 2026.\n",
    ),
    ("now=1796030012 ", "now=1796030312 "),
    ("ts: 1796030012345\n", "ts: 1796030312999\n"),
    ("ts: 1796030012.332\n", "ts: 1796030312.1\n"),
    ("Build 20261129T093112Z\n", "Build 20261130T070000Z\n"),
    ("Heute ist der 30. November 2026.\n", "Heute ist der 1. Dezember 2026.\n"),
    ("Hoy es 29 de noviembre de 2026.\n", "Hoy es 30 de noviembre de 2026.\n"),
    (
        "\u4eca\u5929\u662f2026\u5e7411\u670829\u65e5\u3002\n",
        "\u4eca\u5929\u662f2026\u5e7411\u670830\u65e5\u3002\n",
    ),
    ("It is 9:30 am.\n", "It is 10:15 pm.\n"),
    ("Mon Nov 30 07:30:50 UTC 2026\n", "Tue Dec 1 08:30:50 UTC 2026\n"),
    ("Last commit 5 minutes ago\n", "Last commit 2 hours ago\n"),
    (
        "Knowledge cutoff: 2026-01\nCurrent date: 2026-11-29\n",
        "Knowledge cutoff: 2026-01\nCurrent date: 2026-11-30\n",
    ),
]
IDS = [
    (
        "x-anthropic-billing-header: cc_version=2.1.197.6e1; cc_entrypoint=cli; cch=a3f01;\n",
        "x-anthropic-billing-header: cc_version=2.1.197.6e1; cc_entrypoint=cli; cch=b1002;\n",
    ),
    (
        "Session: 0a8dcc4e-f483-4b0d-b94b-248fcc60d1aa\n",
        "Session: 5a00d0bf-eb79-40f9-a0a5-029ff164f7bb\n",
    ),
    ("Session ID: qwertyui\n", "Session ID: zzyyxxww\n"),
    ("conversation_id=conv_01HZX4M7\n", "conversation_id=conv_01JABCQ9\n"),
    ("commit 9f8a7b6 on main\n", "commit 01c2d3e on main\n"),
    ("sha256:0011aabb22\n", "sha256:99ffeedd33\n"),
    ("cwd /tmp/tmpab12cd_x\n", "cwd /tmp/tmpqq98xy_1\n"),
    ("Earlier call toolu_01AbCdEf99\n", "Earlier call toolu_01ZzYyXx88\n"),
    ("etag deadbeefcafe0012\n", "etag deadbeefcafe0099\n"),
    ("token eyJhbGciOiJIUzI1NiJ9.e30.abc\n", "token eyJhbGciOiJFUzI1NiJ9.e31.xyz\n"),
    ("Request id: 849302118223\n", "Request id: 118220004411\n"),
]
COUNTS = [
    ("Turn 9 of the game.\n", "Turn 10 of the game.\n"),
    ("Attempt: 1\n", "Attempt: 2\n"),
    ("Token usage: 34534/200000; 165466 remaining\n", "Token usage: 44534/200000; 155466 remaining\n"),
    ("Spent so far: $0.0123.\n", "Spent so far: $0.2.\n"),
    ("Progress 45%\n", "Progress 50%\n"),
]
FORMS = [
    (MissCause.WHITESPACE, "Be kind.\r\n", "Be kind.\n"),
    (MissCause.WHITESPACE, "Be kind. \n", "Be kind.\n"),
    (MissCause.WHITESPACE, "Be\u00a0kind.\n", "Be kind.\n"),
    (MissCause.WHITESPACE, "\ufeffBe kind.\n", "Be kind.\n"),
    (MissCause.WHITESPACE, "Be kind\u200b.\n", "Be kind.\n"),
    (MissCause.WHITESPACE, "Be  kind.\n", "Be kind.\n"),
    (MissCause.WHITESPACE, "\tBe kind.\n", "    Be kind.\n"),
    (MissCause.UNICODE_FORM, "Cafe\u0301 rules.\n", "Caf\u00e9 rules.\n"),
    (MissCause.UNICODE_FORM, "\u201cBe kind\u201d.\n", '"Be kind".\n'),
    (MissCause.UNICODE_FORM, "Don\u2019t rush.\n", "Don't rush.\n"),
    (MissCause.UNICODE_FORM, "Be kind \u2013 always.\n", "Be kind - always.\n"),
    (MissCause.UNICODE_FORM, '{"d": "caf\\u00e9"}\n', '{"d": "caf\u00e9"}\n'),
    (MissCause.UNICODE_FORM, "The \ufb01rst rule.\n", "The first rule.\n"),
]
OTHERS = [
    (MissCause.TOOLS_ORDER, listed(lines(TOOLS)), listed(lines(TOOLS[::-1]))),
    (MissCause.TOOLS_ORDER, listed(json.dumps(TOOLS)), listed(json.dumps([TOOLS[1], TOOLS[0], TOOLS[2]]))),
    (MissCause.TOOLS_ORDER, framed('{"b": 1, "a": [1, 2]} '), framed('{"a": [1, 2], "b": 1} ')),
    (MissCause.TOOLS_ORDER, framed(json.dumps(TOOLS[0])), framed(json.dumps(TOOLS[0], sort_keys=True))),
    (MissCause.ROLE_OR_TEMPLATE, f"<|im_start|>system\n{BODY}", f"<|im_start|>user\n{BODY}"),
    (
        MissCause.ROLE_OR_TEMPLATE,
        f"<|start_header_id|>system<|end_header_id|>\n\n{BODY}",
        f"<|start_header_id|>user<|end_header_id|>\n\n{BODY}",
    ),
    (MissCause.ROLE_OR_TEMPLATE, f"<start_of_turn>user\n{BODY}", f"<start_of_turn>model\n{BODY}"),
    (MissCause.UNKNOWN, framed("You are a pirate. "), framed("You are a lawyer. ")),
    (MissCause.UNKNOWN, framed("Be brief. "), framed("")),
    (MissCause.UNKNOWN, f"{BODY}What happened in 2024?", f"{BODY}What happened in 2025?"),
    (MissCause.UNKNOWN, f"{BODY}Which one?", f"{BODY}What happened?"),
    (MissCause.UNKNOWN, framed('{"a": ["x", "y"]} '), framed('{"a": ["y", "x"]} ')),
    (MissCause.UNKNOWN, BODY, BODY + "More."),
]
CASES = [
    *((MissCause.TIMESTAMP, framed(a), framed(b)) for a, b in TIMES),
    *((MissCause.TIMESTAMP, framed(a), framed("")) for a, _ in TIMES[:2]),
    *((MissCause.UUID, framed(a), framed(b)) for a, b in IDS),
    *((MissCause.UUID, framed(a), framed("")) for a, _ in IDS[:2]),
    *((MissCause.COUNTER, framed(a), framed(b)) for a, b in COUNTS),
    *((cause, framed(a), framed(b)) for cause, a, b in FORMS),
    *OTHERS,
]


@pytest.mark.parametrize(("cause", "sent", "other"), CASES)
def test_the_cause_is_told_from_either_side(cause: MissCause, sent: str, other: str) -> None:
    assert cause_of(first_difference(sent, other)) is cause
    assert cause_of(first_difference(other, sent)) is cause


@pytest.mark.parametrize(("cause", "sent", "other"), CASES)
def test_a_window_shows_the_same_as_the_whole(cause: MissCause, sent: str, other: str) -> None:
    more = "Behind it stand other words, of which a window shows only some. " * 20
    if cause is not MissCause.UNKNOWN:
        assert cause_of(first_difference(more + sent + more, more + other + more)) is cause


def test_an_opening_is_volatile_by_what_it_holds() -> None:
    assert volatile_cause("It is 2026-11-22 09:30.\n") is MissCause.TIMESTAMP
    assert volatile_cause("session_id: 0a8dcc4e-f483-4b0d-b94b-248fcc60d1aa") is MissCause.UUID
    assert volatile_cause("You are a helpful assistant with 12 tools.\n") is None
