"""Every codec that is compared gives the bits back."""

from __future__ import annotations

import pytest

from kvproxy.bench.codec_baselines import baselines, missing
from kvproxy.core.page_form import PageForm
from tests.codecs.page_numbers import KINDS, payload


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_every_bit_comes_back_from_each(dtype: str) -> None:
    form = PageForm(1, 2, 16, dtype)  # type: ignore[arg-type]  # a parameter
    size = form.frame_bytes(256)
    names = set()
    for coder in baselines(form):
        names.add(coder.name)
        for kind in KINDS:
            frame = bytes(payload(form, 256, kind, seed=5))[:size]
            assert coder.decode(coder.encode(frame)).tobytes() == frame, (coder.name, kind)
    wanted = {"openzl Huffman", "openzl Fse", "zstd planes, openzl", "zlib planes"}
    assert names >= wanted and ("openzl Fse, centred" in names) == (dtype == "bfloat16")


def test_centred_exponents_are_coded_shorter() -> None:
    form = PageForm(1, 2, 64, "bfloat16")
    frame = bytes(payload(form, 256, "channels", seed=1))[: form.frame_bytes(256)]
    sizes = {coder.name: len(coder.encode(frame)) for coder in baselines(form)}
    assert sizes["openzl Fse, centred"] < sizes["openzl Fse"]


def test_what_is_not_installed_is_named() -> None:
    assert missing() == ["blosc2", "pcodec", "zipnn"]
