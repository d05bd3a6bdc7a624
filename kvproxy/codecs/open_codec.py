"""`open_codec`: the page codec of a name."""

from __future__ import annotations

from kvproxy.codecs.page_codec import PageCodec
from kvproxy.core.page_form import PageForm
from kvproxy.errors import SetupError

CODECS: tuple[str, ...] = ()
"""Names of codecs that `open_codec` takes."""


def open_codec(name: str, form: PageForm) -> PageCodec:
    """Return the codec of a name, for pages of a form. Raises SetupError: unknown, or not to be had on this machine.

    Example: ``open_codec(CODECS[0], PageForm(30, 3, 64, "bfloat16"))``
    """
    raise SetupError(f"there is no page codec '{name}'; there are: {', '.join(CODECS)}")
