"""`changed_headers`: the headers that tell what of a request was left out, and what of its prompt was moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kvproxy.core import ChatRequest, DocumentRef, LeftOut
from kvproxy.events import Started
from kvproxy.pipeline import Request
from kvproxy.wire.answers.left_out import left_out_header
from kvproxy.wire.answers.placement_header import placement_header


def changed_headers(
    asked: Request, started: Started | None = None, moved: Sequence[DocumentRef] | None = None
) -> Mapping[str, str]:
    """Return ``x-kvproxy-left-out`` and ``x-kvproxy-placement``, as far as there is anything to tell.

    ``started`` and ``moved`` are None before they are known.

    Example: ``headers |= changed_headers(asked, reply.started, reply.prompt.moved)``
    """
    placement = placement_header(asked.placement, moved) if isinstance(asked, ChatRequest) else {}
    return {**left_out_header(left_out_of(asked, started)), **placement}


def left_out_of(asked: Request, started: Started | None = None) -> tuple[LeftOut, ...]:
    """Return the parts of a request that its answer does without: those found by reading it, and by ``started``.

    Example: ``left_out_of(asked, reply.started)``
    """
    read = asked.left_out if isinstance(asked, ChatRequest) else ()
    return (*read, *(started.left_out if started is not None else ()))
