"""`ReplicaFacts`: what a replica tells of itself, and reading it from its metrics. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OWN_ALGORITHM = "sha256_cbor"
"""The algorithm of block hashes that can be computed outside of vLLM."""

_INFO = re.compile(r"^vllm:cache_config_info\{(.*)\}\s", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class EventSockets:
    """The ZMQ sockets of a replica's KV events."""

    endpoint: str | None
    """None where the replica connects to this proxy's own."""
    replay: str | None = None
    topic: str = ""
    rank: int = 0
    """The data-parallel rank of the engine that they belong to."""


@dataclass(frozen=True, slots=True)
class ReplicaFacts:
    """The facts that a replica has told of itself. It may be started again with other flags, so it is asked anew
    whenever it comes back."""

    served_as: str
    max_model_len: int | None = None
    version: str = ""
    block_tokens: int | None = None
    blocks: int | None = None
    """Blocks of its cache."""
    algorithm: str | None = None
    """Of its block hashes; None where it does not tell."""
    caches: bool = True
    """False where prefix caching is off."""
    sockets: tuple[EventSockets, ...] = ()
    warnings: tuple[str, ...] = ()
    """Warnings for the operator, a sentence each."""


def served_models(body: bytes) -> tuple[Mapping[str, Any], ...] | None:
    """Return the models of an answer to ``/v1/models``; None where it is no list of models.

    Example: ``served_models(b'{"data": [{"id": "qwen3-8b"}]}')[0]["id"]`` is ``qwen3-8b``
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    listed = found.get("data") if isinstance(found, dict) else None
    if not isinstance(listed, list) or not all(isinstance(m, dict) and "id" in m for m in listed):
        return None
    return tuple(listed)


def cache_config(metrics: str) -> Mapping[str, str]:
    """Return the labels of ``vllm:cache_config_info`` in a page of metrics; none where it is not there."""
    found = _INFO.search(metrics)
    return {} if found is None else dict(_LABEL.findall(found[1]))


def whole_number(text: str | None) -> int | None:
    """Return the number of a label; None for ``None`` and anything else that is no number above 0."""
    return int(text) if text is not None and text.isdigit() and int(text) > 0 else None


def event_sockets(found: Any, host: str, *, bound: bool = False) -> tuple[EventSockets, ...]:
    """Return the sockets that ``/kv_event_sources`` lists, those that can be connected to from elsewhere.

    ``tcp://*:5557`` is bound by the replica, so its host is put there; one that connects (``tcp://10.0.0.5:44300``)
    has none, and is left out unless it connects to this proxy's own socket (``bound``): its topic and its replay socket
    are known then.

    Example: ``event_sockets(await client.get("/kv_event_sources"), "10.0.0.7")``
    """
    sockets = []
    for rank, one in found.items() if isinstance(found, dict) else ():
        if (
            not isinstance(one, dict)
            or not one.get("enable_kv_cache_events")
            or one.get("publisher") != "zmq"
        ):
            continue
        endpoint = None if bound else reachable(str(one.get("endpoint") or ""), host)
        if endpoint is not None or bound:
            replay = reachable(str(one.get("replay_endpoint") or ""), host)
            topic = str(one.get("topic") or "")
            sockets.append(EventSockets(endpoint, replay, topic, int(rank) if str(rank).isdigit() else 0))
    return tuple(sockets)


def reachable(endpoint: str, host: str) -> str | None:
    """Return an endpoint that a replica binds as another host would connect to it; None for one that it connects to.

    Example: ``reachable("tcp://*:5557", "10.0.0.7")`` is ``tcp://10.0.0.7:5557``
    """
    if endpoint.startswith(("ipc://", "inproc://")):
        return endpoint
    bound = re.fullmatch(r"tcp://(?:\*|\[?::\]?|0\.0\.0\.0):(\d+)", endpoint)
    return None if bound is None else f"tcp://{host}:{bound[1]}"
