"""`FeedSource`: where one replica's KV events come from; topics and endpoints as vLLM writes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FeedSource:
    """The sockets of one stream of events: one for each data-parallel rank of a replica."""

    replica: str
    endpoint: str | None
    """The socket to connect to, ``tcp://10.0.0.7:5557``; None where the replica connects to ours."""
    replay: str | None = None
    """The socket that answers replays; None where there is none: a gap then clears."""
    topic: str | None = None
    """The topic that the replica publishes under, where it is known; None for any, or for ``kv@ADDRESS@MODEL``."""
    address: str = ""
    """``host:port`` of the replica, as it stands in such a topic."""
    rank: int = 0


def source_of_topic(topic: str, sources: Iterable[FeedSource]) -> FeedSource | None:
    """Return the source that a topic of our own socket belongs to; None for a stranger's.

    A configured topic has to be equal; others are ``kv@HOST:PORT@MODEL``, as llm-d writes them.

    Example: ``source_of_topic("kv@10.0.0.7:8000@smol", sources)``
    """
    parts = topic.split("@")
    address = (parts[1] or None) if len(parts) >= 3 and parts[0] == "kv" else None
    for source in sources:
        if source.topic == topic if source.topic is not None else address in (source.address, source.replica):
            return source
    return None


def reachable_endpoint(endpoint: str, host: str) -> str:
    """Return an endpoint as ``/kv_event_sources`` tells it, with the replica's host in place of a wildcard.

    Example: ``reachable_endpoint("tcp://*:5557", "10.0.0.7")`` is ``tcp://10.0.0.7:5557``.
    """
    scheme, _, rest = endpoint.partition("://")
    if scheme != "tcp":
        return endpoint
    bound, _, port = rest.rpartition(":")
    everywhere = bound in ("*", "0.0.0.0", "::", "[::]")
    shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"tcp://{shown if everywhere else bound}:{port}"


def rank_endpoint(endpoint: str | None, rank: int) -> str | None:
    """Return the endpoint of a data-parallel rank: the port of rank 0 and the rank."""
    if endpoint is None or rank == 0 or not endpoint.startswith("tcp://"):
        return endpoint
    before, _, port = endpoint.rpartition(":")
    return f"{before}:{int(port) + rank}"


def payload_rank(payload: bytes) -> int:
    """Return the data-parallel rank at the end of a payload, without decoding it: an array's third item, below 128."""
    has_rank = payload[:1] == b"\x93" and payload[-1] < 0x80
    return payload[-1] if has_rank else 0
