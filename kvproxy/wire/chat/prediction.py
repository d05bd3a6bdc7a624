"""``prediction``: the client's expectation of the answer, as OpenAI's predicted outputs define it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from kvproxy.wire.bodies.strict import Strict


class PredictedPart(Strict):
    """A piece of the predicted text."""

    type: Literal["text"]
    text: str


def _as_parts(content: object) -> object:
    """Return a list of parts; a string is one part. After this there is one shape, so errors have one path."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise ValueError("must be a string or an array of text parts")
    return content


class PredictionBody(Strict):
    """The text that the client expects in the answer."""

    type: Literal["content"]
    content: Annotated[
        list[PredictedPart], BeforeValidator(_as_parts, json_schema_input_type=str | list[PredictedPart])
    ] = Field(description="The text, or its pieces in order.")


def parse_prediction(body: PredictionBody | None) -> str | None:
    """Return the whole text. Its parts are pieces of one answer, so nothing stands between them."""
    return None if body is None else "".join(part.text for part in body.content)
