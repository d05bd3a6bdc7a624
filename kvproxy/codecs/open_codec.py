"""`open_codec`: the page codec of a name."""

from __future__ import annotations

from kvproxy.codecs.frame_codec import NAME, FrameCodec
from kvproxy.codecs.page_codec import PageCodec
from kvproxy.core.page_form import PageForm
from kvproxy.engine.native.kernel_library import NoKernels, load_kernels
from kvproxy.errors import SetupError

CODECS = (NAME,)
"""Names of codecs that `open_codec` takes, the best first."""


def open_codec(name: str, form: PageForm) -> PageCodec:
    """Return the codec of a name, for pages of a form. Raises SetupError: unknown, or not to be had on this machine.

    Example: ``open_codec("kv-rans-1", PageForm(30, 3, 64, "bfloat16"))``
    """
    if name not in CODECS:
        raise SetupError(f"there is no page codec '{name}'; there is {', '.join(CODECS)}")
    kernels = load_kernels()
    if isinstance(kernels, NoKernels):
        raise SetupError(f"pages cannot be compressed: {kernels.reason}; {kernels.advice}")
    return FrameCodec(kernels, form)
