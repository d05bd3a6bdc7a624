"""`anchor`: the fragment of a heading, the same in the site as where the pages are read on GitHub."""

from __future__ import annotations

import re

_DROPPED = re.compile(r"[^\w\- ]")


def anchor(heading: str, separator: str = "-") -> str:
    """Return the fragment of a heading's text, by GitHub's rule: lower case, punctuation dropped, spaces to hyphens.

    Example: ``anchor("POST /kv/v1/documents/{document}/pin")`` is ``post-kvv1documentsdocumentpin``
    """
    return _DROPPED.sub("", heading.strip().lower()).replace(" ", separator)
