from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from kvproxy.engine.forward.attention.kernels import open_kernel
from kvproxy.engine.forward.invariance import BASE_TILE, DECODE_TILE, TILES, Numerics, measure
from tests.engine.tiny import make_model

WIDTH = 32
Linear = Callable[[torch.Tensor], torch.Tensor]


def measured(*linears: Linear, dtype: torch.dtype = torch.float32) -> Numerics:
    return measure(
        linears,
        [WIDTH] * len(linears),
        kv_heads=2,
        group=3,
        head_dim=8,
        dtype=dtype,
        device=torch.device("cpu"),
    )


def exact(x: torch.Tensor) -> torch.Tensor:
    """Elementwise: every row is on its own."""
    return x * 1.5


def test_rows_that_depend_on_nothing_allow_every_tile() -> None:
    got = measured(exact)
    assert got.tiles == TILES and got.unified and got.exact
    assert "exact" in got.describe() and "NOT" not in got.describe()


def test_a_kernel_in_classes_of_row_counts_allows_one_class() -> None:
    def classes(x: torch.Tensor) -> torch.Tensor:
        return x * (1.0 if x.shape[0] in (64, 128) else 1.0 + 2**-20)

    got = measured(exact, classes)
    assert got.tiles == (64, 128)
    assert not got.unified and got.exact
    assert [got.tile_for(n) for n in (1, 64, 65, 128)] == [64, 64, 128, 128]
    assert "16-row tile" in got.describe()


def test_one_bit_in_one_row_is_seen() -> None:
    def one_row(x: torch.Tensor) -> torch.Tensor:
        y = x * 1.5
        if x.shape[0] == 256:
            y[37, 5] = torch.nextafter(y[37, 5], torch.tensor(9e9))
        return y

    got = measured(one_row)
    assert 256 not in got.tiles and got.exact


def test_a_row_that_depends_on_its_place_is_not_exact() -> None:
    def by_place(x: torch.Tensor) -> torch.Tensor:
        return x * (1 + 2**-20 * (torch.arange(x.shape[0]) % 2)[:, None])

    got = measured(by_place)
    assert not got.exact and got.tiles == (BASE_TILE,) and not got.unified
    assert "NOT shown exact" in got.describe()


def test_a_row_that_depends_on_its_neighbours_is_not_exact() -> None:
    def by_company(x: torch.Tensor) -> torch.Tensor:
        return x + x.roll(1, 0) * 2**-20

    assert not measured(by_company).exact


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
def test_what_was_measured_holds_for_other_inputs(kind: str, dtype: torch.dtype) -> None:
    """The measurement samples; here are other rows, other sizes."""
    model = make_model(kind, dtype)
    numerics, group, heads, dim = model.numerics, model.group, model.page_shape.kv_heads, model.head_dim
    generator = torch.Generator().manual_seed(99)
    most = 256 * group // numerics.granule * numerics.granule
    q = torch.randn(heads, most, dim, generator=generator)
    k, v = (torch.randn(heads, 384, dim, generator=generator).to(dtype) for _ in range(2))
    kernel = open_kernel(numerics.kernel, kv_heads=heads, head_dim=dim, dtype=dtype)

    def run(rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        weighted_sum = torch.empty(1, heads, rows, dim, dtype=dtype)
        row_max, exp_sum = torch.empty(2, 1, heads, rows)
        kernel(q[None, :, :rows], k, v, None, weighted_sum, row_max, exp_sum)
        return weighted_sum, row_max, exp_sum

    whole = run(most)
    for rows in range(numerics.granule, most, numerics.granule):
        assert all(torch.equal(p, w[:, :, :rows]) for p, w in zip(run(rows), whole, strict=True)), rows


_THREADS = """
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from kvproxy.engine.forward.tile_model import from_module
wide = LlamaConfig(vocab_size=50, hidden_size=48, intermediate_size=9728, num_hidden_layers=1,
                   num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=512)
for family, threads in (("llama", 3), ("llama", 6), ("llama", 7), ("other", 3)):
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    wide.model_type = family
    model = from_module(LlamaForCausalLM(wide), "wide")
    x = torch.randn(64, 2 * 9728)
    order = torch.randperm(64)
    gate, width = next(iter(model.tiles._decoder.rowwise()))
    x = x[:, :width]
    print(family, threads, model.numerics.exact, torch.equal(gate(x)[order], gate(x[order])))
"""


@pytest.fixture(scope="module")
def by_threads() -> dict[tuple[str, int], tuple[str, str]]:
    """Return, by family and number of threads, if it is called exact and if its rows do not depend on their place.

    Measured in a process of its own, since the number of threads is the process's.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _THREADS], capture_output=True, text=True, timeout=170
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    return {(family, int(threads)): (claimed, holds) for family, threads, claimed, holds in lines}


@pytest.mark.slow  # a wide model is measured four times; two threads are what the real model is served with
@pytest.mark.parametrize("threads", [3, 6, 7])
def test_an_activation_does_not_depend_on_its_place(
    by_threads: dict[tuple[str, int], tuple[str, str]], threads: int
) -> None:
    """torch's own float32 SiLU does, where threads do not divide the elements into vectors."""
    assert by_threads["llama", threads] == ("True", "True")


@pytest.mark.slow
def test_an_activation_that_depends_on_its_place_is_not_called_exact(
    by_threads: dict[tuple[str, int], tuple[str, str]],
) -> None:
    """In a family that runs transformers' own forward."""
    assert by_threads["other", 3] != ("True", "False")


@pytest.mark.parametrize("rowwise", [False, True])
def test_a_decode_tile_that_does_not_keep_its_rows_is_no_exact_engine(rowwise: bool) -> None:
    """In any class: decode rows share it with other sequences' rows."""

    def by_place(x: torch.Tensor) -> torch.Tensor:
        return (
            x * torch.linspace(1.0, 1.0 + 1e-3, x.shape[0])[:, None] if x.shape[0] == DECODE_TILE else x * 1.5
        )

    got = measure(
        [exact] if rowwise else [by_place],
        [WIDTH],
        rowwise=[(by_place, WIDTH)] if rowwise else [],
        kv_heads=2,
        group=3,
        head_dim=8,
        dtype=torch.float32,
        device=torch.device("cpu"),
    )
    assert not got.exact and not got.unified
