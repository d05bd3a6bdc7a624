"""`Joined`: the tokens of a region with documents in it, and where each of these stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DocumentPlace:
    """The place of a document in a region: its tokens are ``[start:end)`` of the region's."""

    start: int
    end: int
    own: int | None = None
    """From here to ``end`` they are the document's kept tokens, from its token ``resume`` on. None where its text was
    encoded with the text around it."""
    resume: int = 0

    def moved(self, by: int) -> DocumentPlace:
        """Return the same place in a sequence that has ``by`` more tokens in front."""
        own = None if self.own is None else self.own + by
        return DocumentPlace(self.start + by, self.end + by, own, self.resume)


@dataclass(frozen=True, slots=True)
class Joined:
    """A region's tokens, with the places of its documents and its stops."""

    token_ids: list[int]
    places: list[DocumentPlace]
    stops: list[tuple[int, int]]
    """Pairs (mark's index, position): the tokens before the position are the same for any text behind the stop. 0
    where that cannot be shown of any token."""
