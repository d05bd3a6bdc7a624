"""`Preconditions`: what a request's ``If-Match`` and ``If-None-Match`` ask of the current content."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.errors import PreconditionFailed

ANY = "*"


@dataclass(frozen=True, slots=True)
class Preconditions:
    """ETags without quotes, or ``*``; empty: no condition.

    Example:
        ``Preconditions(if_match=(etag,)).check(current.etag, "handbook")``
    """

    if_match: tuple[str, ...] = ()
    """The content must be one of these; ``*``: there must be some."""
    if_none_match: tuple[str, ...] = ()
    """The content must be none of these; ``*``: there must be none."""

    def check(self, etag: str | None, what: str) -> None:
        """Compare with the current content's ETag, None where there is none. Raises PreconditionFailed."""
        found = f"has the ETag {etag}" if etag is not None else "does not exist"
        if self.if_match and not _among(etag, self.if_match):
            raise PreconditionFailed(
                f"'{what}' {found}, and If-Match asks for another: get it again, and repeat the change on what it is "
                "now."
            )
        if _among(etag, self.if_none_match):
            raise PreconditionFailed(
                f"'{what}' {found}, and If-None-Match asks that it be another: nothing was changed."
            )


def _among(etag: str | None, tags: tuple[str, ...]) -> bool:
    return etag is not None and any(tag in (ANY, etag) for tag in tags)


UNCONDITIONAL = Preconditions()
