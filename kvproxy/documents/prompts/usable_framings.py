"""`usable_framings`: the expected places of documents that a model's template can show, and messages in them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from kvproxy.documents.library.document import Framing
from kvproxy.documents.prompts.model_format import ModelFormat
from kvproxy.documents.tokens.escape import Escape

logger = logging.getLogger(__name__)


def usable_framings(framings: Sequence[Framing], format: ModelFormat) -> tuple[Framing, ...]:
    """Return the framings that the template takes; the others are logged."""
    for framing in framings:
        if not takes_framing(framing, format):
            logger.warning(
                "framing %s is not used: this model's chat template does not take %s messages as they are",
                framing.name,
                " and ".join(sorted(_roles(framing, format) - format.copied)),
            )
    return tuple(framing for framing in framings if takes_framing(framing, format))


def takes_framing(framing: Framing, format: ModelFormat) -> bool:
    """Return whether the template shows the framing's messages as they are.

    Example:
        ``takes_framing(Framing("system"), composer.format)``
    """
    return framing.place == "text" or _roles(framing, format) <= format.copied


def framed_messages(framing: Framing, content: str, escape: Escape) -> list[dict[str, Any]]:
    """Return a conversation with ``content`` in the framing's place.

    Example:
        ``messages = framed_messages(Framing("user"), escape.slot(0), escape)``
    """
    messages = [{"role": framing.place, "content": content}]
    if framing.place == "system":
        messages.append({"role": "user", "content": "Q"})
    elif framing.system is not None:
        messages.insert(0, {"role": "system", "content": escape.text(framing.system)})
    return messages


def _roles(framing: Framing, format: ModelFormat) -> set[str]:
    if not format.roles.system:
        return {"user"}  # A system message becomes the beginning of the user's message.
    return {framing.place} if framing.system is None else {framing.place, "system"}
