"""`open_codec`: the page codec of a name."""

from __future__ import annotations

from kvproxy.codecs import first_layer_codec
from kvproxy.codecs.first_layer_codec import FirstLayerCodec, FirstLayerRows
from kvproxy.codecs.frame_codec import NAME, FrameCodec
from kvproxy.codecs.page_codec import PageCodec
from kvproxy.core.page_form import PageForm
from kvproxy.engine.native.kernel_library import NoKernels, load_kernels
from kvproxy.errors import SetupError

CODECS = (NAME,)
"""Names of codecs that need no engine, the best first."""
WITH_ENGINE = first_layer_codec.NAME


def open_codec(name: str, form: PageForm, engine: FirstLayerRows | None = None) -> PageCodec:
    """Return the codec of a name, for pages of a form. Raises SetupError: unknown, or not to be had on this machine.

    ``engine``: what computes layer 0 of these pages; None where there is none whose bits are exact.

    Example: ``open_codec("kv-rans-1", PageForm(30, 3, 64, "bfloat16"))``
    """
    if name not in (*CODECS, WITH_ENGINE):
        raise SetupError(f"there is no page codec '{name}'; there are {', '.join((*CODECS, WITH_ENGINE))}")
    kernels = load_kernels()
    if isinstance(kernels, NoKernels):
        raise SetupError(f"pages cannot be compressed: {kernels.reason}; {kernels.advice}")
    if name == NAME:
        return FrameCodec(kernels, form)
    if engine is None or form.layers < 2:
        raise SetupError(
            f"{name} needs an engine that computes layer 0 exactly, and this one's is not: use {NAME}"
        )
    return FirstLayerCodec(kernels, form, engine)
