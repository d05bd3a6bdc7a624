"""The cache of a replica as its metrics tell it, and its reset."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus

import httpx

from kvproxy.errors import SetupError

_INFO = re.compile(r"^vllm:cache_config_info\{(.*)\} ", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class ReplicaCache:
    """KV blocks of one replica, the positions of each, and the longest prompt with its answer."""

    blocks: int
    block_tokens: int
    max_context: int

    @property
    def tokens(self) -> int:
        """Positions that fit."""
        return self.blocks * self.block_tokens


def replica_cache(url: str) -> ReplicaCache:
    """Ask a replica for the size of its cache. Raises SetupError.

    Example: ``replica_cache("http://127.0.0.1:8000").tokens``
    """
    try:
        with httpx.Client(base_url=url, trust_env=False, timeout=10) as http:
            metrics = http.get("/metrics").raise_for_status().text
            models = http.get("/v1/models").raise_for_status().json()["data"]
    except httpx.HTTPError as e:
        raise SetupError(f"the replica at {url} did not answer: {e}") from e
    found = _INFO.search(metrics)
    labels = dict(_LABEL.findall(found[1])) if found else {}
    blocks, block_tokens = labels.get("num_gpu_blocks", ""), labels.get("block_size", "")
    if not blocks.isdigit() or not block_tokens.isdigit():
        raise SetupError(f"the replica at {url} does not tell its cache's size (vllm:cache_config_info)")
    return ReplicaCache(int(blocks), int(block_tokens), int(models[0].get("max_model_len") or 4096))


def reset_cache(url: str) -> bool:
    """Empty a replica's prefix cache; False where it may not be (``VLLM_SERVER_DEV_MODE=1`` allows it)."""
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as http:
        answer = http.post("/reset_prefix_cache")
    return answer.status_code == HTTPStatus.OK and answer.json().get("success", True) is not False
