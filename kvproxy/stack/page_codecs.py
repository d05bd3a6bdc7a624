"""Codecs of the page store, as ``store.compression`` names them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache

from kvproxy.codecs.first_layer_codec import FirstLayerRows
from kvproxy.codecs.open_codec import CODECS, open_codec
from kvproxy.codecs.page_codec import PageCodec
from kvproxy.core.page_form import PageForm
from kvproxy.errors import SetupError

logger = logging.getLogger(__name__)

OFF, AUTO = "off", "auto"


def codec_of(setting: str, form: PageForm, engine: FirstLayerRows | None = None) -> PageCodec | None:
    """Return the codec that pages are encoded with; None: they are stored plain.

    ``auto`` takes the first codec of this machine, or none with a line in the log. Raises SetupError for a name that
    no codec has, and for a codec that cannot be had on this machine or with this engine.

    Example: ``codec_of("auto", model.weights.page_shape.form)``
    """
    if setting == OFF:
        return None
    if setting != AUTO:
        return open_codec(setting, form, engine)
    for name in CODECS:
        try:
            return open_codec(name, form)
        except SetupError as e:
            logger.info("pages are stored as they are: %s", e)
    return None


def decoder_of(form: PageForm, engine: FirstLayerRows | None = None) -> Callable[[str], PageCodec | None]:
    """Return what opens codecs by the names in pages' headers, each once; None for one that is not to be had."""

    @cache
    def decoder(name: str) -> PageCodec | None:
        try:
            return open_codec(name, form, engine)
        except SetupError:
            return None

    return decoder
