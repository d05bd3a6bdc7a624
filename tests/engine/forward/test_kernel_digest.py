"""The fingerprint follows the bits: any kernel that computes one number otherwise is another engine."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from kvproxy.bench.engine.random_models import Shape, random_module
from kvproxy.engine.cache.page_pool import PagePool
from kvproxy.engine.forward import fused_decoder, plain_tiles
from kvproxy.engine.forward.attention.call_plan import Segment
from kvproxy.engine.forward.attention.kernels import open_kernel
from kvproxy.engine.forward.invariance import TILES, Numerics
from kvproxy.engine.forward.linear import PackedLinear
from kvproxy.engine.forward.rms_norm import RmsNorm
from kvproxy.engine.forward.rotary import Rotary
from kvproxy.engine.forward.tile_model import TileModel, from_module
from kvproxy.engine.models.kernel_settings import kernel_settings, kernel_variables
from tests.engine.tiny import DEVICE, make_module

pytestmark = pytest.mark.skipif(DEVICE != "cpu", reason="alters the CPU's kernels")

MEASURED = Numerics(tiles=TILES, unified=True, granule=4, exact=True, kernel="flash-cpu")


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are loaded in milliseconds: with numerics as if they had been measured."""
    monkeypatch.setattr(plain_tiles, "measure", lambda *_, **__: MEASURED)


def load(kind: str = "qwen3", dtype: torch.dtype = torch.float32) -> TileModel:
    return from_module(make_module(kind, dtype), kind)


def nudged(x: torch.Tensor) -> torch.Tensor:
    """Move the last number of ``x`` to its neighbour, in place."""
    flat = x.view(-1)
    flat[-1:] = torch.nextafter(flat[-1:], torch.full_like(flat[-1:], 9e9))
    return x


def other_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """In tiles of 32 rows alone."""
    plain = PackedLinear.forward
    monkeypatch.setattr(
        PackedLinear, "forward", lambda self, x: nudged(plain(self, x)) if len(x) == 32 else plain(self, x)
    )


def other_head(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = TileModel.logits
    monkeypatch.setattr(TileModel, "logits", lambda self, hidden: nudged(plain(self, hidden)))


def other_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = RmsNorm.__call__

    def call(self: RmsNorm, x: torch.Tensor, length: torch.Tensor, out: torch.Tensor) -> None:
        plain(self, x, length, out)
        nudged(out)

    monkeypatch.setattr(RmsNorm, "__call__", call)


def other_rotary(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Rotary.turn

    def turn(self: Rotary, x: torch.Tensor, angles: torch.Tensor, out: torch.Tensor) -> None:
        plain(self, x, angles, out)
        out.mul_(1 + 2**-22)

    monkeypatch.setattr(Rotary, "turn", turn)


def other_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    """In calls of one length alone: a page that stands between the span and the row's own."""
    plain = open_kernel

    def opened(*args: Any, **kwargs: Any) -> Any:
        kernel = plain(*args, **kwargs)

        def call(q: Any, k: Any, v: Any, mask: Any, weighted_sum: Any, row_max: Any, exp_sum: Any) -> None:
            kernel(q, k, v, mask, weighted_sum, row_max, exp_sum)
            if mask is None and isinstance(k, torch.Tensor) and k.shape[1] == 256:
                exp_sum.mul_(1 + 2**-22)

        return call

    monkeypatch.setattr(plain_tiles, "open_kernel", opened)


@pytest.mark.parametrize(
    "alter", [other_product, other_head, other_norm, other_rotary, other_attention], ids=lambda f: f.__name__
)
@pytest.mark.usefixtures("unmeasured")
def test_another_result_of_one_kernel_is_another_fingerprint(
    alter: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load()
    assert load().fingerprint == before.fingerprint
    alter(monkeypatch)
    after = load()
    assert after.fingerprint != before.fingerprint
    # And for no other reason than its results.
    assert {k for k in before.identity if before.identity[k] != after.identity[k]} == {"results"}


@pytest.mark.usefixtures("unmeasured")
def test_transformers_own_layers_are_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a family without a native decoder the norms and the rotary embedding are transformers'."""
    monkeypatch.setattr(fused_decoder, "can_fuse", lambda config: False)
    before = load("llama")
    assert load("llama").fingerprint == before.fingerprint
    plain = make_module("llama", torch.float32)
    norm: Any = type(plain.get_decoder().norm)
    forward = norm.forward
    monkeypatch.setattr(norm, "forward", lambda self, x: nudged(forward(self, x)))
    assert load("llama").fingerprint != before.fingerprint


@pytest.mark.usefixtures("unmeasured")
def test_the_fixed_computation_neither_reads_nor_advances_the_global_generator() -> None:
    module = make_module("qwen3", torch.bfloat16)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = from_module(module, "m").fingerprint
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert from_module(make_module("qwen3", torch.bfloat16), "m").fingerprint == one


@pytest.mark.usefixtures("unmeasured")
def test_flushed_denormals_are_other_bits() -> None:
    before = load().fingerprint
    try:
        if not torch.set_flush_denormal(True):
            pytest.skip("this processor cannot flush denormal numbers")
        assert load().fingerprint != before
    finally:
        torch.set_flush_denormal(False)


SHAPE = Shape(256, 2, 4, 2, 64, 512, vocab=512, max_context=2048)


def bits_of_a_start() -> list[str]:
    """Return the fingerprint of a model with two threads, and a digest of the KV of one tile."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(plain_tiles, "measure", lambda *_, **__: MEASURED)
            model = from_module(random_module(SHAPE, torch.bfloat16), "tiny")
            pool = PagePool(model.page_shape, 2, torch.device("cpu"))
            ids = [(7 * i + 3) % 512 for i in range(64)]
            model.forward(model.tiles.tile(ids, list(range(64)), [Segment(0, 0, 64, [1])]), pool.kv)
            return [model.fingerprint, hashlib.sha256(pool.read(1)).hexdigest()]
    finally:
        torch.set_num_threads(threads)


@pytest.mark.slow  # two processes more, for one more reason that the tests above know others of
def test_an_instruction_set_that_an_environment_variable_forbids_is_another_fingerprint() -> None:
    """Starts in the same environment are alike; one under a limit that torch's own capability does not show is not."""
    program = "from tests.engine.forward.test_kernel_digest import bits_of_a_start as f; print(*f())"
    command = [sys.executable, "-c", program]
    runs = [
        subprocess.Popen(command, env={**os.environ, **more}, stdout=subprocess.PIPE, text=True)
        for more in ({}, {"ONEDNN_MAX_CPU_ISA": "AVX2"})
    ]
    here = bits_of_a_start()
    there, (limited, others) = (run.communicate()[0].split() for run in runs)
    assert there == here
    if others == here[1]:
        pytest.skip("this machine's bits are the same under ONEDNN_MAX_CPU_ISA=AVX2")
    assert limited != here[0]


def test_settings_are_told_by_name() -> None:
    found = kernel_variables(
        {"ONEDNN_MAX_CPU_ISA": "AVX2", "HOME": "/", "ONEDNN_VERBOSE": "1", "MKL_CBWR": "AUTO"}
    )
    assert dict(found) == {"MKL_CBWR": "AUTO", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    products = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # an attribute of the module's class
    before = products.fp32_precision
    products.fp32_precision = "bf16"  # as the float32 kernels do
    try:
        assert kernel_settings()["torch float32 precision, mkldnn"] == "bf16"
    finally:
        products.fp32_precision = before
