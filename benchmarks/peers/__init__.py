"""One script per peer; ``python -m benchmarks.peers NAME`` installs it and starts it."""

from __future__ import annotations

from benchmarks.peers.kept_cache import KeptCache
from benchmarks.peers.kvproxy import Kvproxy
from benchmarks.peers.llama_cpp import LlamaCpp
from benchmarks.peers.peer import Peer
from benchmarks.peers.transformers_serve import TransformersServe
from benchmarks.peers.vllm import Vllm

PEERS: dict[str, Peer] = {
    p.name: p
    for p in (
        Kvproxy(),
        Vllm(),
        TransformersServe(),
        KeptCache(),
        LlamaCpp(),
        Kvproxy("kvproxy-q8_0", "Q8_0"),
        LlamaCpp("llama.cpp-q8_0", "Q8_0"),
        Kvproxy("kvproxy-q4_k", "Q4_K_M"),
        LlamaCpp("llama.cpp-q4_k", "Q4_K_M"),
    )
}
"""In the order in which they are measured."""
