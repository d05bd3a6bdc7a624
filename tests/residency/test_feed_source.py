"""Topics and endpoints as vLLM and llm-d write them."""

from __future__ import annotations

import msgspec
import pytest

from kvproxy.residency.feed_source import (
    FeedSource,
    payload_rank,
    rank_endpoint,
    reachable_endpoint,
    source_of_topic,
)

SOURCES = (
    FeedSource("first", None, address="10.0.0.7:8000"),
    FeedSource("second", None, topic="own topic", address="10.0.0.8:8000"),
)


@pytest.mark.parametrize(
    ("topic", "replica"),
    [
        ("kv@10.0.0.7:8000@smol", "first"),
        ("kv@first@smol", "first"),
        ("own topic", "second"),
        ("kv@10.0.0.8:8000@smol", None),
        ("kv@10.0.0.9:8000@smol", None),
        ("", None),
        ("kv@@", None),
        ("10.0.0.7:8000", None),
    ],
)
def test_a_topic_belongs_to_one_source(topic: str, replica: str | None) -> None:
    found = source_of_topic(topic, SOURCES)
    assert (found.replica if found else None) == replica


def test_a_topic_without_an_address_is_nobodys() -> None:
    assert source_of_topic("", [FeedSource("a", None)]) is None
    assert source_of_topic("kv@@m", [FeedSource("a", None)]) is None


@pytest.mark.parametrize(
    ("endpoint", "host", "reached"),
    [
        ("tcp://*:5557", "10.0.0.7", "tcp://10.0.0.7:5557"),
        ("tcp://0.0.0.0:5557", "h", "tcp://h:5557"),
        ("tcp://[::]:5557", "fd00::1", "tcp://[fd00::1]:5557"),
        ("tcp://10.1.1.1:5557", "10.0.0.7", "tcp://10.1.1.1:5557"),
        ("ipc:///tmp/x", "10.0.0.7", "ipc:///tmp/x"),
    ],
)
def test_a_wildcard_is_the_replicas_host(endpoint: str, host: str, reached: str) -> None:
    assert reachable_endpoint(endpoint, host) == reached


def test_ranks_have_ports_in_a_row() -> None:
    assert rank_endpoint("tcp://h:5558", 3) == "tcp://h:5561"
    assert rank_endpoint("ipc:///tmp/x", 3) == "ipc:///tmp/x"
    assert rank_endpoint(None, 3) is None


@pytest.mark.parametrize(
    ("data", "rank"),
    [([1.0, [], 0], 0), ([1.0, [], 5], 5), ([1.0, [], None], 0), ([1.0, []], 0), ({"ts": 1}, 0)],
)
def test_a_payloads_rank(data: object, rank: int) -> None:
    assert payload_rank(msgspec.msgpack.encode(data)) == rank
    assert payload_rank(b"") == 0
