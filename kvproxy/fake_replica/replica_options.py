"""`ReplicaOptions`: the size, speed and flags of a fake replica, as an operator would give them to vLLM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EventForm = Literal["map", "array", "sglang"]
"""``map``: vLLM from 0.32; ``array``: older vLLM; ``sglang``: SGLang's maps, with its own hashes."""
HashAlgorithm = Literal["sha256_cbor", "sha256"]
"""``sha256`` stands for vLLM's default, whose hashes nothing outside of vLLM can compute."""


@dataclass(frozen=True, slots=True)
class ReplicaOptions:
    """Flags of one replica, the same for its whole life."""

    model: str = "fake-model"
    """Its name in ``/v1/models``."""
    block_tokens: int = 16
    """``--block-size``."""
    blocks: int = 512
    """Blocks of the cache, of which one is never used, as in vLLM."""
    max_model_len: int | None = None
    """Positions of the longest prompt with its answer; None: what the blocks hold, at most 131,072."""
    most_running: int = 256
    """``--max-num-seqs``; further requests wait."""
    prefill_tokens_per_s: float | None = None
    """Prompt tokens computed in a second by all requests together; None: no time at all."""
    decode_s: float = 0.0
    """Seconds from one token to the next."""
    answer_words: int = 12
    """Words of an answer that nothing cuts; each is some tokens, and an end token follows."""
    api_key: str | None = None
    prompt_tokens_details: bool = True
    """``--enable-prompt-tokens-details``."""
    scale_out: bool = False
    """``--enable-scale-out``."""
    dev_mode: bool = True
    """``VLLM_SERVER_DEV_MODE=1``."""
    hash_algorithm: HashAlgorithm = "sha256_cbor"
    hash_seed: str | None = None
    """PYTHONHASHSEED."""
    events: bool = True
    """``enable_kv_cache_events``."""
    event_form: EventForm = "map"
    events_endpoint: str | None = None
    """The socket of its events, bound or connected by vLLM's rule; None: a socket of its own in a temporary folder."""
    replay_endpoint: str | None = None
    """The socket that missed events are asked for at; None: a socket beside the other one."""
    buffer_steps: int = 10_000
    """Batches that can be asked for again."""
    topic: str = ""

    @property
    def context(self) -> int:
        """The positions of the longest prompt with its answer."""
        held = (self.blocks - 1) * self.block_tokens
        return min(held, self.max_model_len or 131_072)
