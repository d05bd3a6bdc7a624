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
from torch import nn

from kvproxy.bench.engine.random_models import Shape, random_module
from kvproxy.engine.forward import torch_attention, torch_tiles
from kvproxy.engine.forward.tile_model import TileModel, from_module
from kvproxy.engine.models.kernel_settings import kernel_settings, kernel_variables
from kvproxy.engine.tiling.segment import Segment
from tests.engine.tiny import DEVICE, make_module
from tests.engine.torch_only import torch_only

pytestmark = pytest.mark.skipif(DEVICE != "cpu", reason="alters the CPU's kernels")


@pytest.fixture(name="torch_only")
def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    torch_only(monkeypatch)


def load(kind: str = "qwen3", dtype: torch.dtype = torch.float32) -> TileModel:
    return from_module(make_module(kind, dtype), kind)


def nudged(x: torch.Tensor) -> torch.Tensor:
    """Move the last number of ``x`` to its neighbour, in place."""
    flat = x.view(-1)
    flat[-1:] = torch.nextafter(flat[-1:], torch.full_like(flat[-1:], 9e9))
    return x


def other_product(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = nn.Linear.forward
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: nudged(plain(self, x)))


def other_head(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = torch_tiles.TorchTiles.logits
    monkeypatch.setattr(torch_tiles.TorchTiles, "logits", lambda self, hidden: nudged(plain(self, hidden)))


def other_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    norm: Any = type(make_module("qwen3", torch.float32).get_decoder().norm)
    forward = norm.forward
    monkeypatch.setattr(norm, "forward", lambda self, x: forward(self, x) * (1 + 2**-22))


def other_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    """In rows behind whole pages alone."""
    plain = torch_attention.attend

    def attend(kv: torch.Tensor, segments: Any, q: torch.Tensor, scale: float) -> torch.Tensor:
        behind = any(seg.start > 512 for seg in segments)
        return plain(kv, segments, q, scale * (1 + 2**-20 if behind else 1))

    monkeypatch.setattr(torch_tiles, "attend", attend)


@pytest.mark.parametrize(
    "alter", [other_product, other_head, other_norm, other_attention], ids=lambda f: f.__name__
)
@pytest.mark.usefixtures("torch_only")
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


def test_the_fixed_computation_neither_reads_nor_advances_the_global_generator() -> None:
    module = make_module("qwen3", torch.bfloat16)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = from_module(module, "m").fingerprint
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert from_module(make_module("qwen3", torch.bfloat16), "m").fingerprint == one


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
    """Return the fingerprint of a model with two threads and torch's kernels, and a digest of the KV of one tile."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
            torch_only(patch)
            model = from_module(random_module(SHAPE, torch.bfloat16), "tiny")
            pool = model.pool(2)
            ids = [(7 * i + 3) % 512 for i in range(64)]
            model.tiles.run(model.tiles.tile(ids, range(64), [Segment(0, 0, 64, [1])]), pool.kv)
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
    assert "torch float32 precision, mkldnn" in kernel_settings()
