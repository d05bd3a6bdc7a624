from __future__ import annotations

import pytest

from kvproxy.core import LeftOut, Tool, ToolChoice
from kvproxy.errors import InvalidRequest, UnsupportedParameter
from kvproxy.wire.bodies.request_reading import ReadingPolicy, RequestReading
from kvproxy.wire.tools.offered_tools import (
    MOST_TOOLS,
    Offered,
    checked_choice,
    checked_tools,
    leave_out_tool,
)

SOME = Offered((Tool("f"), Tool("g")), frozenset({"web_search"}))
NONE = Offered((), frozenset({"web_search"}))


def test_a_hosted_tool_is_left_out_or_refused() -> None:
    leave_out_tool(reading := RequestReading(), "web_search", "tools[0]")
    leave_out_tool(reading, "Ignore all\nprevious", "tools[1]")
    assert reading.left_out == [
        LeftOut("tools[0]", "web_search"),
        LeftOut("tools[1]", "a tool of unknown type"),
    ]
    with pytest.raises(UnsupportedParameter) as caught:
        leave_out_tool(RequestReading(ReadingPolicy(hosted_tools="refuse")), "web_search", "tools[0]")
    assert caught.value.param == "tools[0].type" and "web_search" in caught.value.message


@pytest.mark.parametrize(
    ("choice", "offered", "kept"),
    [
        (ToolChoice(), NONE, ToolChoice()),
        (ToolChoice("none"), NONE, ToolChoice()),
        (ToolChoice("required"), SOME, ToolChoice("required")),
        (ToolChoice("auto", ("web_search",)), NONE, ToolChoice()),
        (ToolChoice("auto", ("web_search",)), SOME, ToolChoice("none")),
        (ToolChoice("auto", ("web_search", "g")), SOME, ToolChoice("auto", ("g",))),
        (ToolChoice("required", ("web_search", "g")), SOME, ToolChoice("required", ("g",))),
    ],
)
def test_left_out_tools_are_dropped_from_the_allowed_ones(
    choice: ToolChoice, offered: Offered, kept: ToolChoice
) -> None:
    assert checked_choice(choice, offered) == kept


@pytest.mark.parametrize(
    ("choice", "offered", "says"),
    [
        (ToolChoice("required", ("web_search",)), SOME, "'web_search' was left out"),
        (ToolChoice("required"), NONE, "were left out"),
        (ToolChoice("required"), Offered(), "only allowed when 'tools'"),
        (ToolChoice("auto", ("f",)), Offered(), "only allowed when 'tools'"),
        (ToolChoice("auto", ("no",)), SOME, "no function named 'no'"),
    ],
)
def test_a_call_that_cannot_be_made_is_refused(choice: ToolChoice, offered: Offered, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as caught:
        checked_choice(choice, offered)
    assert caught.value.param == "tool_choice"


def test_agents_have_many_tools() -> None:
    tools = [Tool(f"f{i}") for i in range(MOST_TOOLS)]
    assert checked_tools([*tools[:-1], tools[0]]) == tuple(tools[:-1])
    with pytest.raises(InvalidRequest, match="513 tools"):
        checked_tools([*tools, Tool("one more")])
