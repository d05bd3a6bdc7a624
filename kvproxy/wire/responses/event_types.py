"""Types of the events of a streamed response, as they stand on the wire."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

from kvproxy.wire.answers.logprob_bodies import TokenLogprobBody
from kvproxy.wire.responses.types import OutputItem, OutputTextPart, ReasoningTextPart, Response


class ResponseEvent(TypedDict):
    """``response.created``, ``.in_progress``, ``.completed``, ``.incomplete`` and ``.failed``."""

    type: str
    sequence_number: int
    response: Response


class ItemEvent(TypedDict):
    """``response.output_item.added`` and ``.done``."""

    type: str
    sequence_number: int
    output_index: int
    item: OutputItem


class PieceEvent(TypedDict):
    """A part of an item begins, grows or ends; the optional keys depend on ``type``."""

    type: str
    sequence_number: int
    item_id: str
    output_index: int
    content_index: NotRequired[int]
    part: NotRequired[OutputTextPart | ReasoningTextPart]
    delta: NotRequired[str]
    text: NotRequired[str]
    name: NotRequired[str]
    arguments: NotRequired[str]
    input: NotRequired[str]
    logprobs: NotRequired[list[TokenLogprobBody]]


class ErrorEvent(TypedDict):
    """The stream failed before there was a response."""

    type: Literal["error"]
    sequence_number: int
    code: str | None
    message: str
    param: str | None
