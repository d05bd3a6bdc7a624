"""Pairing of calls and results in a conversation that was cut, interrupted or put together elsewhere."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import replace

from kvproxy.core import Message, TextPart, ToolCall
from kvproxy.errors import InvalidRequest
from kvproxy.wire.bodies.request_reading import RequestReading

ORPHAN = "[result of a tool call that is not shown here]"

_Waiting = OrderedDict[str, deque[str]]
"""By the id that the client gave a call: ids, each of one call, of those that wait for a result. Ordered: the first key
of a plain dictionary lies behind the places of all that were deleted before it."""


def pair_results(
    messages: Sequence[Message], places: Sequence[str], reading: RequestReading
) -> tuple[Message, ...]:
    """Return the same conversation with each result behind its call, and distinct ids for the calls of an answer.

    A result whose call is not there (clients cut histories) becomes a user message that says so, behind the results it
    came with, and is recorded in ``reading`` (modified). A result that names no call answers the first that waits. A
    call needs no result. ``places``: the path of each message. Raises InvalidRequest for a result without a call where
    the policy is to refuse it.

    Example: ``pair_results(messages, [f"messages[{i}]" for i in range(len(messages))], reading)``.
    """
    waiting: _Waiting = OrderedDict()
    done: list[Message] = []
    orphans: list[Message] = []
    for index, (message, place) in enumerate(zip(messages, places, strict=True)):
        if message.role != "tool":
            done += orphans
            orphans = []
            done.append(_called(message, index, waiting) if message.tool_calls else message)
        elif (id := _answered(message.tool_call_id or "", waiting)) is not None:
            done.append(message if id == message.tool_call_id else replace(message, tool_call_id=id))
        else:
            orphans.append(_orphan(message, place, reading))
    return (*done, *orphans)


def _called(message: Message, index: int, waiting: _Waiting) -> Message:
    """Return the message with distinct ids for its calls, which wait from now on.

    They replace earlier ones with the same ids: some programs count anew in each answer.
    """
    taken: set[str] = set()
    own: _Waiting = OrderedDict()
    calls: list[ToolCall] = []
    for number, call in enumerate(message.tool_calls):
        id = call.id if call.id and call.id not in taken else f"{call.id or 'call'}_{index}_{number}"
        taken.add(id)
        own.setdefault(call.id, deque()).append(id)
        calls.append(call if id == call.id else replace(call, id=id))
    for given in own:
        waiting.pop(given, None)
    waiting |= own
    return message if tuple(calls) == message.tool_calls else replace(message, tool_calls=tuple(calls))


def _answered(given: str, waiting: _Waiting) -> str | None:
    if given not in waiting:
        if given or not waiting:
            return None
        given = next(iter(waiting))
    ids = waiting[given]
    id = ids.popleft()
    if not ids:
        del waiting[given]
    return id


def _orphan(message: Message, place: str, reading: RequestReading) -> Message:
    if reading.policy.unreadable_history == "refuse":
        raise InvalidRequest(
            f"Invalid '{place}': a tool's result must answer a tool call before it, once. Send the call too, or leave "
            "its result out.",
            param=place,
        )
    reading.leave_out(place, "call of a tool result")
    return Message("user", (TextPart(ORPHAN), *message.content))
