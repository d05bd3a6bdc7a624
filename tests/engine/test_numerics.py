from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from kvproxy.engine.numerics import BASE_TILE, TILES, Numerics, measure
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
    numerics = model.numerics
    group, heads, dim = model.group, model.page_shape.kv_heads, model.head_dim
    generator = torch.Generator().manual_seed(99)
    most = 64 * numerics.granule
    q = torch.randn(1, heads, most, dim, generator=generator).to(dtype)
    k, v = (torch.randn(3, heads, 256, dim, generator=generator).to(dtype) for _ in range(2))
    whole, lse = numerics.attention(q.expand(3, -1, -1, -1), k, v, None, dim**-0.5)
    for rows in range(numerics.granule, 257 * group, numerics.granule):
        if rows > most:
            break
        out, part = numerics.attention(q[:, :, :rows], k[1:2], v[1:2], None, dim**-0.5)
        assert torch.equal(out[0], whole[1, :, :rows]), rows
        assert torch.equal(part[0], lse[1, :, :rows]), rows


_THREE_THREADS = """
import torch
torch.set_num_threads(3)
from transformers import LlamaConfig, LlamaForCausalLM
from kvproxy.engine.model import from_module
torch.manual_seed(1)
wide = LlamaConfig(vocab_size=50, hidden_size=48, intermediate_size=9728, num_hidden_layers=1,
                   num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=512)
model = from_module(LlamaForCausalLM(wide), "wide")
x = torch.randn(64, 2 * 9728)
order = torch.randperm(64)
gate = lambda x: torch.nn.functional.silu(x.chunk(2, dim=-1)[0])
print(model.numerics.exact, torch.equal(gate(x)[order], gate(x[order])))
"""


def test_an_activation_that_depends_on_its_place_is_not_called_exact() -> None:
    """torch's float32 SiLU is one where threads do not divide the elements into vectors. In a process of its
    own, since the number of threads is the process's."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _THREE_THREADS], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    claimed, holds = done.stdout.split()
    assert (claimed, holds) != ("True", "False")
