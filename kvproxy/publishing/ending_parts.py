"""`EndingParts`: the publisher's own steps that the end of a version takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from kvproxy.core import DocumentRef
from kvproxy.documents.library.document import Document


@dataclass(frozen=True, slots=True)
class EndingParts:
    """The publisher's own steps that endings take: it is the only writer of pages, pins and prepared texts."""

    let_go: Callable[[list[DocumentRef]], Coroutine[Any, Any, None]]
    """Drop the pages and pins of versions that are hidden already."""
    forget: Callable[[list[DocumentRef]], Awaitable[None]]
    """Drop all that is known of versions whose rows are deleted."""
    revive: Callable[[Document], Awaitable[None]]
    """Make a version visible again, its pages computed anew."""
