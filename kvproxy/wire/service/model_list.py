"""The served models, as OpenAI lists them with vLLM's fields beside, and as Anthropic does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11


class ModelBody(TypedDict):
    """One model.

    The context's length has as many names as there are servers whose clients read it: vLLM's ``max_model_len``, Groq's
    ``context_window``, OpenRouter's ``context_length``. Null for an upstream's.
    """

    id: str
    object: Literal["model"]
    created: int
    owned_by: Literal["kvproxy", "upstream"]
    root: str
    """The model that answers: another one than ``id`` where that is an alias."""
    parent: None
    max_model_len: int | None
    context_window: int | None
    context_length: int | None


class ModelList(TypedDict):
    """The served models, in OpenAI's format."""

    object: Literal["list"]
    data: list[ModelBody]


class AnthropicModel(TypedDict):
    """One model, in Anthropic's format."""

    type: Literal["model"]
    id: str
    display_name: str
    created_at: str
    lifecycle: Literal["active"]
    capabilities: None
    max_input_tokens: int | None
    max_tokens: int | None


class AnthropicModelList(TypedDict):
    """The served models, in Anthropic's format."""

    data: list[AnthropicModel]
    has_more: bool
    first_id: str | None
    last_id: str | None


def model_body(id: str, root: str, *, local: bool, created: int, max_context: int) -> ModelBody:
    """Return a model's entry. ``root`` is the served model; ``id`` the same, or an alias of it.

    Example: ``model_body("gpt-4o", "qwen", local=True, created=0, max_context=32768)``.
    """
    length = max_context if local else None
    return {
        "id": id,
        "object": "model",
        "created": created,
        "owned_by": "kvproxy" if local else "upstream",
        "root": root,
        "parent": None,
        "max_model_len": length,
        "context_window": length,
        "context_length": length,
    }


def anthropic_model(model: ModelBody) -> AnthropicModel:
    """Return Anthropic's entry. ``display_name`` is for menus: of an alias, the model behind it too."""
    id, root = model["id"], model["root"]
    return {
        "type": "model",
        "id": id,
        "display_name": id if id == root else f"{id} ({root})",
        "created_at": datetime.fromtimestamp(model["created"], UTC).isoformat().replace("+00:00", "Z"),
        "lifecycle": "active",
        "capabilities": None,
        "max_input_tokens": model["max_model_len"],
        "max_tokens": model["max_model_len"],
    }


def anthropic_page(
    models: Sequence[ModelBody], *, limit: int, after: str | None, before: str | None
) -> AnthropicModelList:
    """Return the page behind ``after``, else right before ``before``; an unknown name gives an empty one.

    Example: ``anthropic_page(models, limit=20, after=None, before=None)["data"]``.
    """
    ids = [model["id"] for model in models]
    if after is not None:
        found = models[ids.index(after) + 1 :] if after in ids else []
        page, more = found[:limit], len(found) > limit
    elif before is not None:
        found = models[: ids.index(before)] if before in ids else []
        page, more = found[-limit:], len(found) > limit
    else:
        page, more = models[:limit], len(models) > limit
    data = [anthropic_model(model) for model in page]
    return {
        "data": data,
        "has_more": more,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }
