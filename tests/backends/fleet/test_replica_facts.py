from __future__ import annotations

import pytest

from kvproxy.backends.fleet.replica_facts import cache_config, event_sockets, reachable, whole_number

METRICS = """# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="128",enable_prefix_caching="True",engine="0",num_gpu_blocks="None",\
prefix_caching_hash_algo="sha256_cbor",odd="a \\"quoted\\" word"} 1.0
vllm:num_requests_running{engine="0"} 0.0
"""


def test_a_replicas_metrics_tell_its_block_and_its_hashes() -> None:
    found = cache_config(METRICS)
    assert (found["block_size"], found["prefix_caching_hash_algo"]) == ("128", "sha256_cbor")
    assert cache_config("vllm:num_requests_running 0") == {}


@pytest.mark.parametrize(
    ("text", "number"), [("128", 128), ("None", None), ("0", None), ("-1", None), (None, None)]
)
def test_a_label_that_is_no_number_is_none(text: str | None, number: int | None) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize(
    ("endpoint", "found"),
    [
        ("tcp://*:5557", "tcp://10.0.0.7:5557"),
        ("tcp://0.0.0.0:5557", "tcp://10.0.0.7:5557"),
        ("tcp://[::]:5557", "tcp://10.0.0.7:5557"),
        ("ipc:///tmp/events", "ipc:///tmp/events"),
        ("tcp://10.0.0.5:44300", None),  # it connects: to a proxy that binds
        ("", None),
    ],
)
def test_only_sockets_that_a_replica_binds_can_be_connected_to(endpoint: str, found: str | None) -> None:
    assert reachable(endpoint, "10.0.0.7") == found


def test_the_sources_that_publish_are_found() -> None:
    one = {"enable_kv_cache_events": True, "publisher": "zmq", "endpoint": "tcp://*:5557", "topic": "t"}
    off = {**one, "enable_kv_cache_events": False}
    (found,) = event_sockets({"0": {**one, "replay_endpoint": "tcp://*:5558"}, "1": off}, "h")
    assert (found.endpoint, found.replay, found.topic) == ("tcp://h:5557", "tcp://h:5558", "t")
    connects = {**one, "endpoint": "tcp://10.0.0.5:44300", "replay_endpoint": "tcp://*:5558"}
    assert event_sockets({"0": connects}, "h") == ()
    (found,) = event_sockets({"0": connects}, "h", bound=True)
    assert (found.endpoint, found.replay, found.topic) == (None, "tcp://h:5558", "t")
    assert event_sockets(None, "h") == event_sockets({"0": "x"}, "h") == ()
