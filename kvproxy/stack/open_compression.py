"""Opens the codec of stored pages, and chooses when it is used."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from kvproxy.codecs.compression_choice import (
    CompressionChoice,
    LoadingSpeeds,
    choose_compression,
    measure_loading,
)
from kvproxy.codecs.open_codec import CODECS, open_codec
from kvproxy.codecs.page_codec import PageCodec
from kvproxy.config import StoreSettings
from kvproxy.core.page_form import PageForm
from kvproxy.errors import SetupError
from kvproxy.store.store_folder import make_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PageCompression:
    """The codec that stored pages are read with, and written with where ``choice`` says so; None: plain pages alone."""

    codec: PageCodec | None
    choice: CompressionChoice


PLAIN = PageCompression(None, CompressionChoice(always=False, when_full=False))
"""Neither reads nor writes compressed pages."""


def open_compression(settings: StoreSettings, form: PageForm) -> PageCompression:
    """Open the codec and measure what ``auto`` needs. With ``off`` too, so that compressed pages are still read.

    Raises SetupError when a codec was asked for by name that this machine cannot run.

    Example: ``open_compression(config.store, model.weights.page_shape.form)``
    """
    setting = settings.compression
    named = setting not in ("off", "auto")
    try:
        codec = open_codec(setting if named else CODECS[0], form)
    except SetupError:
        if named:
            raise
        return PLAIN
    objects = settings.objects.url is not None
    speeds = _measured(settings, codec, form) if setting == "auto" and not objects else None
    choice = choose_compression(setting, speeds, objects=objects)
    if setting == "auto":
        logger.info("compression of pages: %s", _reason(choice, speeds, objects=objects))
    return PageCompression(codec, choice)


def _measured(settings: StoreSettings, codec: PageCodec, form: PageForm) -> LoadingSpeeds | None:
    make_folder(settings.path)
    return measure_loading(codec, form, settings.path)


def _reason(choice: CompressionChoice, speeds: LoadingSpeeds | None, *, objects: bool) -> str:
    if objects:
        return "on, since pages go to an object store"
    if speeds is None:
        return "when the store is nearly full; this system does not say how fast the disk reads"
    rates = (
        f"the disk reads {speeds.read / 1e9:.2f} GB/s, pages are decoded at {speeds.decode / 1e9:.2f} GB/s"
    )
    return f"on: {rates}" if choice.always else f"when the store is nearly full: {rates}"
