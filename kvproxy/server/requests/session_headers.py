"""The headers by which a session asks that its pages are kept, or says that it has ended."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kvproxy.core.session_hints import RetainHint
from kvproxy.errors import InvalidRequest

RETAIN = "x-kvproxy-retain"
SESSION = "x-kvproxy-session"

_SECONDS = re.compile(r"[0-9]{1,7}", re.ASCII)
_NAME = re.compile(r"[\x21-\x7e]{1,256}", re.ASCII)


def session_hint(headers: Mapping[str, str]) -> RetainHint | None:
    """Return the wish of a request's session; None without ``x-kvproxy-retain``. Raises InvalidRequest.

    Example: ``session_hint({"x-kvproxy-retain": "300", "x-kvproxy-session": "chat-7"})``
    """
    asked, name = headers.get(RETAIN), headers.get(SESSION, "").strip()
    if asked is None:
        return None
    if _SECONDS.fullmatch(asked.strip()) is None:
        raise InvalidRequest(
            f"Invalid '{RETAIN}': the whole seconds for which this prompt's pages are to be kept, like 300; 0 releases "
            "those of the session.",
            param=RETAIN,
        )
    if name and _NAME.fullmatch(name) is None:
        raise InvalidRequest(
            f"Invalid '{SESSION}': a name of up to 256 printable ASCII characters without spaces.",
            param=SESSION,
        )
    return RetainHint(float(asked), name)
