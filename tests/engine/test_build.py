from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from kvproxy.engine.build import load, start_engine
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.engine.loop.engine import Engine
from kvproxy.errors import SetupError
from tests.engine.tiny import make_module, write_vocabulary


def start(
    model: TileModel, folder: Path, *, page_budget: int | None, max_context: int | None = None
) -> Engine:
    return start_engine(
        model,
        folder,
        eos_ids=frozenset({1}),
        page_budget=page_budget,
        max_context=max_context,
        max_running=2,
        max_waiting=1,
        store=None,
    )


def test_a_budget_in_bytes_is_a_number_of_whole_pages(llama: TileModel, vocabulary_folder: Path) -> None:
    engine = start(llama, vocabulary_folder, page_budget=10 * llama.page_shape.bytes + 5)
    try:
        assert engine.cache.occupancy().total == 10
        assert engine.alive and engine.max_context == 2048
    finally:
        engine.stop()
    assert not engine.alive


def test_without_a_budget_no_more_is_taken_than_all_requests_could_fill(
    llama: TileModel, vocabulary_folder: Path
) -> None:
    engine = start(llama, vocabulary_folder, page_budget=None, max_context=600)
    try:
        assert engine.cache.occupancy().total == 3 * 3
    finally:
        engine.stop()


def test_a_context_is_at_most_the_models(llama: TileModel, vocabulary_folder: Path) -> None:
    engine = start(llama, vocabulary_folder, page_budget=2**20, max_context=99_999)
    engine.stop()
    assert engine.max_context == 2048


def test_too_small_a_budget_says_what_to_change(
    llama: TileModel, vocabulary_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SetupError, match=r"holds 1 pages.*raise engine\.page_budget"):
        start(llama, vocabulary_folder, page_budget=llama.page_shape.bytes)
    with caplog.at_level(logging.WARNING):
        start(llama, vocabulary_folder, page_budget=2 * llama.page_shape.bytes).stop()
    assert "smaller than one full context" in caplog.text


@pytest.mark.parametrize(("name", "dtype"), [("bfloat16", torch.bfloat16), ("float32", torch.float32)])
def test_a_folder_is_loaded_in_the_dtype_asked_for(tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    make_module("qwen3", torch.bfloat16).save_pretrained(tmp_path)
    write_vocabulary(tmp_path)
    said: list[str] = []
    model = load(
        tmp_path,
        dtype=name,
        device="cpu",
        threads=None,
        tokenizer_digest="t",
        template_digest="c",
        say=said.append,
    )
    assert model.dtype == model.page_shape.dtype == dtype
    assert said == ["hashing weights", "loading weights", "preparing kernels"]
