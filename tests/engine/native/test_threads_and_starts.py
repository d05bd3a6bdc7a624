"""The same fingerprint, pages and logits with one to four threads, and in another process."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
import torch

from kvproxy.bench.engine.random_models import Shape, random_module
from kvproxy.engine.forward.tile_model import from_module
from kvproxy.engine.native.kernel_library import Kernels, load_kernels
from kvproxy.engine.tiling.segment import Segment

SHAPE = Shape(256, 2, 4, 2, 64, 512, vocab=512, max_context=2048)
THREADS = (1, 2, 3, 4)


def bits_with(threads: int) -> list[str]:
    """Return a new model's fingerprint, and digests of two pages and of the logits of one tile and of a step."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            model = from_module(random_module(SHAPE, torch.bfloat16), "tiny")
            pool = model.pool(3)
            ids = [(7 * i + 3) % SHAPE.vocab for i in range(300)]
            segments = [Segment(0, 0, 256, [1, 2]), Segment(256, 256, 43, [1, 2])]
            prompt = model.tiles.run(model.tiles.tile(ids[:299], range(299), segments), pool.kv)
            step = model.tiles.run(model.tiles.tile(ids[299:], [299], [Segment(0, 299, 1, [1, 2])]), pool.kv)
            logits = torch.cat([model.logits(prompt), model.logits(step)])
            pages = hashlib.sha256(pool.read(1) + pool.read(2)).hexdigest()
            return [model.fingerprint, pages, hashlib.sha256(logits.numpy().tobytes()).hexdigest()]
    finally:
        torch.set_num_threads(before)


def test_threads_change_no_bit() -> None:
    if not isinstance(load_kernels(), Kernels):
        pytest.skip("the kernels are not compiled")
    first, *others = (bits_with(threads) for threads in THREADS)
    assert others == [first] * len(others)


def test_another_start_computes_the_same_bits() -> None:
    program = f"from {__name__} import bits_with; print(*bits_with(2))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.split() == bits_with(2)
