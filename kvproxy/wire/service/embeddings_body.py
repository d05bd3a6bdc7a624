"""``/v1/embeddings`` as OpenAI has it. Upstreams answer it, and they check all but the model's name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

from kvproxy.wire.bodies.strict import Strict

_Text = Annotated[str, Field(min_length=1)]
_TokenId = Annotated[int, Field(ge=0)]


class EmbeddingsBody(Strict):
    """A request for embeddings."""

    model: str = Field(min_length=1, description="An upstream's model: the local one makes no embeddings.")
    input: _Text | list[_Text] | list[_TokenId] | list[list[_TokenId]] = Field(
        description="One text, several, one input of token ids, or several."
    )
    dimensions: int | None = Field(default=None, ge=1)
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


class Embedding(TypedDict):
    """The embedding of one input: numbers, or their bytes as base64."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingsUsage(TypedDict):
    """The token counts of a request for embeddings."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(TypedDict):
    """The embeddings of all inputs, in order."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingsUsage
