from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, MixtralConfig

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.forward.tile_model import (
    TileModel,
    config_digest,
    from_module,
    load_model,
    pick_device,
    read_config,
    weights_digest,
)
from kvproxy.errors import SetupError
from tests.engine.harness import HarnessMaker
from tests.engine.tiny import VOCAB, make_model, make_module, prompt

KINDS = ["llama", "qwen2", "qwen3"]


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_transformers(kind: str, rigs: HarnessMaker) -> None:
    """Over two page borders, in float32, against transformers' own attention on the whole prompt."""
    tokens = prompt(1, 2 * PAGE_TOKENS + 30)
    reference = make_module(kind, torch.float32).eval()
    with torch.inference_mode():
        expected = reference(input_ids=torch.tensor([tokens])).logits[0]
    ours = rigs(make_model(kind, torch.float32), pages=8).score(tokens, 0).logits
    assert ours.shape == (len(tokens), VOCAB)
    assert torch.allclose(ours, expected, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_stays_near_float32(kind: str, rigs: HarnessMaker) -> None:
    tokens = prompt(1, 300)
    reference = make_module(kind, torch.bfloat16).float().eval()
    with torch.inference_mode():
        expected = reference(input_ids=torch.tensor([tokens])).logits[0]
    ours = rigs(make_model(kind, torch.bfloat16), pages=4).score(tokens, 0).logits
    assert (ours - expected).abs().mean() < 0.05 * expected.std()


def test_the_shape_of_a_page_follows_the_configuration() -> None:
    model = make_model("qwen3", torch.bfloat16)
    shape = model.page_shape
    assert (shape.layers, shape.kv_heads, shape.head_dim, model.group) == (2, 2, 32, 3)
    assert (model.vocab_size, model.max_context) == (VOCAB, 2048)


def test_logits_of_a_row_do_not_depend_on_the_rows_beside_it(any_model: TileModel) -> None:
    size = 40 if any_model.group == 1 else 48
    hidden = torch.randn(50, size, generator=torch.Generator().manual_seed(3)).to(any_model.dtype)
    whole = any_model.logits(hidden)
    assert whole.dtype == torch.float32 and whole.shape == (50, VOCAB)
    for row in (0, 15, 16, 17, 49):
        assert torch.equal(any_model.logits(hidden[row : row + 1])[0], whole[row])


def test_every_thing_that_bits_depend_on_changes_the_fingerprint() -> None:
    one = make_model("llama", torch.bfloat16)
    assert make_model("llama", torch.bfloat16).fingerprint == one.fingerprint
    others = [
        make_model("llama", torch.float32),
        make_model("qwen3", torch.bfloat16),
        make_model("llama", torch.bfloat16, intermediate=96),
        from_module(make_module("llama", torch.bfloat16), "another name"),
    ]
    prints = {m.fingerprint for m in others}
    assert len(prints) == 4 and one.fingerprint not in prints


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_module("llama", torch.bfloat16).save_pretrained(tmp_path)
    return tmp_path


def load(folder: Path, tokenizer: str = "t", template: str = "c") -> TileModel:
    return load_model(
        folder,
        dtype=torch.bfloat16,
        device=torch.device("cpu"),
        tokenizer_digest=tokenizer,
        template_digest=template,
    )


def test_a_saved_model_gives_the_same_logits_and_another_fingerprint_per_part(
    folder: Path, rigs: HarnessMaker
) -> None:
    loaded = load(folder)
    tokens = prompt(1, 300)
    ours = rigs(loaded, pages=4).score(tokens, 0).logits
    assert torch.equal(ours, rigs(make_model("llama", torch.bfloat16), pages=4).score(tokens, 0).logits)
    again = load(folder)
    assert again.fingerprint == loaded.fingerprint
    assert load(folder, tokenizer="u").fingerprint != loaded.fingerprint
    assert load(folder, template="d").fingerprint != loaded.fingerprint
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    assert load(folder).fingerprint != loaded.fingerprint


def test_what_cannot_be_loaded_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="configuration"):
        read_config(tmp_path / "nowhere")
    (folder / "model.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(SetupError, match="cannot load the model"):
        load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(SetupError, match="unpickled"):
        weights_digest(folder)


def test_an_unsupported_model_is_refused_before_its_weights_are_read(tmp_path: Path) -> None:
    MixtralConfig().save_pretrained(tmp_path)
    with pytest.raises(SetupError, match="mixture of experts"):
        load(tmp_path)


def test_names_and_versions_are_no_part_of_the_configuration() -> None:
    one, two = LlamaConfig(), LlamaConfig()
    two._name_or_path = "/elsewhere"
    assert config_digest(one) == config_digest(two)
    assert config_digest(one) != config_digest(
        LlamaConfig(rope_parameters={"rope_type": "default", "rope_theta": 5.0})
    )


def test_devices_by_name() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda")
    with pytest.raises(SetupError, match="unknown device 'abacus'"):
        pick_device("abacus")


def test_transformers_can_still_load_the_folder(folder: Path) -> None:
    """Registering our attention leaves transformers' own alone."""
    load(folder)
    plain = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    assert isinstance(plain, LlamaForCausalLM)
    assert plain.config._attn_implementation != "kvproxy_pages"
