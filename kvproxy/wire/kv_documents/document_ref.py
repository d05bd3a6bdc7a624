"""The name of a document in text: ``handbook`` for its current version, ``handbook@3`` for one version,
``handbook@stable`` for the one that an alias means.

More can be named than can be published now: older stores have ids with ``..`` or ``//`` in them, which must be found to
be deleted. A name is never normalised: it means the document with exactly this name, or none.
"""

from __future__ import annotations

import re

from kvproxy.core import NAMEABLE_ID, DocumentRef
from kvproxy.errors import InvalidRequest

ALIAS = "[a-z][a-z0-9._-]{0,31}"
"""The pattern of an alias: no number, so that no version is meant."""
_REF = re.compile(rf"({NAMEABLE_ID})(?:@(?:([1-9][0-9]{{0,8}})|({ALIAS})))?", re.ASCII)
REF_PATTERN = f"^{_REF.pattern}$"
"""For JSON schemas."""


def parse_document_ref(text: str, *, param: str) -> DocumentRef:
    """Parse a reference. Raises InvalidRequest when ``text`` cannot name a document."""
    match = _REF.fullmatch(text)
    if match is None:
        raise InvalidRequest(
            f"Invalid '{param}': a document is named like 'handbook', 'handbook@3' or 'handbook@stable', with "
            "up to 128 letters, digits and . _ / -, then '@' and a version or an alias if one is meant.",
            param=param,
        )
    return DocumentRef(match[1], int(match[2]) if match[2] else None, alias=match[3])
