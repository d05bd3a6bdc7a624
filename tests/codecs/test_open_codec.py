"""Codecs by name."""

from __future__ import annotations

import pytest

from kvproxy.codecs import open_codec as opening
from kvproxy.codecs.open_codec import CODECS, WITH_ENGINE, open_codec
from kvproxy.core.page_form import PageForm
from kvproxy.engine.native.kernel_library import NoKernels
from kvproxy.errors import SetupError
from tests.codecs.test_first_layer_codec import Engine

FORM = PageForm(2, 1, 16, "bfloat16")


@pytest.mark.parametrize("name", CODECS)
def test_a_codec_has_its_name(name: str) -> None:
    assert open_codec(name, FORM).name == name


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(SetupError, match="kv-rans-1"):
        open_codec("zip", FORM)


def test_layer_0_is_left_out_for_an_engine_alone() -> None:
    with pytest.raises(SetupError, match="use kv-rans-1"):
        open_codec(WITH_ENGINE, FORM)
    engine = Engine(b"")
    assert open_codec(WITH_ENGINE, FORM, engine).name == WITH_ENGINE
    with pytest.raises(SetupError, match="use kv-rans-1"):
        open_codec(WITH_ENGINE, PageForm(1, 1, 16, "bfloat16"), engine)


def test_without_the_kernels_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "load_kernels", lambda: NoKernels("there is no library", "install g++"))
    with pytest.raises(SetupError, match="install g\\+\\+"):
        open_codec(CODECS[0], FORM)
