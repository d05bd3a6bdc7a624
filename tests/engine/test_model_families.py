"""Each of transformers' families is refused with a reason, or right: near its logits, a hit a miss to the bit.

The whole sweep takes minutes and logs each verdict: ``KVPROXY_MODEL_FAMILIES=all pytest --log-cli-level=INFO
tests/engine/test_model_families.py``.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from kvproxy.engine.decode.detokenizer import Vocabulary
from kvproxy.engine.forward.tile_model import from_module
from kvproxy.engine.models.supported import check_supported
from kvproxy.errors import SetupError
from tests.engine.harness import make_harness
from tests.engine.tiny import DEVICE, VOCAB, prompt

pytestmark = pytest.mark.skipif(DEVICE != "cpu", reason="float32 on a CPU")

logger = logging.getLogger(__name__)

ROUTED_OR_STRANGE = ("aria_text", "dbrx", "nemotron", "gpt_neox", "persimmon", "mixtral", "bloom")
RIGHT = ("mistral", "phi3", "olmo2", "starcoder2", "glm", "smollm3", "helium", "seed_oss")
LARGEST = 20_000_000
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "sliding_window": None,
    "initializer_range": 0.2,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}


def small_config(kind: str, **fields: Any) -> Any:
    """A configuration of this family, as small as its class allows."""
    made = CONFIG_MAPPING[kind]
    known = set(made().to_dict()) | {"num_key_value_heads"}
    return made(**{k: v for k, v in SIZES.items() if k in known}, **fields)


def small_model(config: Any) -> Any:
    """With random weights, norms among them."""
    try:
        with torch.device("meta"):
            size = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
    except (TypeError, ValueError, AttributeError) as e:
        pytest.skip(f"no model of this configuration: {e}")
    if size > LARGEST:
        pytest.skip(f"{size:,} parameters")
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                parameter.uniform_(0.5, 1.5)
    return model


def verdict(config: Any, vocabulary: Vocabulary) -> str:
    """``right``, or why the family is refused. Fails where it is neither."""
    tokens = prompt(5, 330)
    try:
        check_supported(config)
    except SetupError as e:
        return e.message
    module = small_model(config)
    with torch.inference_mode():
        try:
            expected = module(input_ids=torch.tensor([tokens]), use_cache=False).logits[0].float()
        except Exception as e:
            expected = None
            told = e
    try:
        model = from_module(module, config.model_type)
    except SetupError as e:
        return e.message
    assert expected is not None, told
    rig = make_harness(model, vocabulary, pages=8, max_context=512)
    try:
        cold = rig.cold(tokens, max_tokens=0, score_from=0).logits
        for cut in (100, 300):
            scope = f"cut-{cut}"
            rig.run(tokens[:cut], max_tokens=0, scope=scope, readable=(scope,))
            hit = rig.score(tokens, cut + 10, scope=scope, readable=(scope,), register=False)
            assert hit.cached >= cut - 1
            assert torch.equal(hit.logits, cold[cut + 10 :]), "a hit has other bits than a miss"
        away = float((cold - expected).abs().max() / expected.std())
        assert away < 0.01, f"{away} standard deviations from transformers"
    finally:
        rig.close()
    return "right"


@pytest.mark.parametrize("kind", ROUTED_OR_STRANGE)
def test_a_family_that_would_be_wrong_is_refused(kind: str, vocabulary: Vocabulary) -> None:
    assert "cannot be served: " in verdict(small_config(kind), vocabulary)


def test_parallel_layers_with_norms_of_q_and_k_are_refused(vocabulary: Vocabulary) -> None:
    config = small_config("stablelm", use_parallel_residual=True, qk_layernorm=True)
    assert "its forward does not run on tiles" in verdict(config, vocabulary)


@pytest.mark.parametrize("kind", RIGHT)
def test_a_family_without_a_native_decoder_is_right(kind: str, vocabulary: Vocabulary) -> None:
    assert verdict(small_config(kind), vocabulary) == "right"


@pytest.mark.skipif(
    os.environ.get("KVPROXY_MODEL_FAMILIES") != "all", reason="minutes; see the module's text"
)
@pytest.mark.parametrize("kind", sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES))
def test_every_family(kind: str, vocabulary: Vocabulary) -> None:
    try:
        config = small_config(kind)
        config.get_text_config()
    except Exception as e:
        pytest.skip(f"no small configuration: {e}")
    logger.info("%s: %s", kind, verdict(config, vocabulary))
