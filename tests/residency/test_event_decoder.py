"""Payloads of vLLM and SGLang in both forms; hostile ones."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.residency.event_decoder import MOST_BLOCKS, MOST_PAYLOAD, EventDecoder, MalformedEvents
from kvproxy.residency.kv_events import AllCleared, BlocksRemoved, BlocksStored, EventBatch
from tests.residency.event_publisher import CLEARED, removed, stored

encode = msgspec.msgpack.encode


def decode(*events: Any, decoder: EventDecoder | None = None) -> EventBatch:
    return (decoder or EventDecoder()).decode(encode([7.5, list(events), 0]))


def test_the_form_of_vllm_0_32() -> None:
    event = stored(1, 2, parent=None, token_ids=[5] * 32, extra_keys=[["salt"], None], session_id="x", new=1)
    batch = decode(event, removed(1, medium="CPU"), CLEARED, {"type": "BlockMoved", "block_hashes": [1]})
    assert batch == EventBatch(
        7.5,
        (
            BlocksStored((1, 2), "device", None, (5,) * 32, 16, "salt", True),
            BlocksRemoved((1,), "host"),
            AllCleared(),
        ),
        0,
        1,
    )


def test_the_older_form_is_an_array() -> None:
    batch = EventDecoder().decode(
        encode(
            [
                7,
                [
                    ["BlockStored", [b"\x00" * 31 + b"\x09"], b"\xff" * 32, [1, 2], 2, None],
                    ["BlockRemoved", [9]],
                    ["AllBlocksCleared"],
                    ["Else", 1],
                ],
            ]
        )
    )
    assert batch.events == (
        BlocksStored((9,), "unknown", 2**64 - 1, (1, 2), 2),
        BlocksRemoved((9,), "unknown"),
        AllCleared(),
    )
    assert (batch.rank, batch.skipped) == (0, 1)


def test_sglang_names_the_salt_and_has_signed_hashes() -> None:
    event = {
        "type": "BlockStored",
        "block_hashes": [-2],
        "parent_block_hash": None,
        "token_ids": [1],
        "block_size": 1,
        "medium": "CPU_PINNED",
        "cache_salt": "s",
        "lora_name": None,
    }
    assert decode(event).events == (BlocksStored((2**64 - 2,), "host", None, (1,), 1, "s"),)


@pytest.mark.parametrize(
    ("medium", "tier"),
    [
        ("GPU", "device"),
        ("CPU", "host"),
        ("CPU_PINNED", "host"),
        ("STORAGE", "storage"),
        ("DISK", "storage"),
        ("EXTERNAL", "storage"),
        (None, "unknown"),
        ("MOON", "unknown"),
    ],
)
def test_media_are_tiers(medium: str | None, tier: str) -> None:
    (event,) = decode(stored(1, medium=medium)).events
    assert isinstance(event, BlocksStored) and event.tier == tier


@pytest.mark.parametrize(
    "more",
    [
        {"lora_name": "l"},
        {"lora_id": 3},
        {"extra_keys": [["image", 4]]},
        {"extra_keys": [[["mm", 4]]]},
        {"extra_keys": [[b"digest"]]},
    ],
)
def test_more_than_tokens_and_a_salt_is_not_plain(more: dict[str, Any]) -> None:
    (event,) = decode(stored(1, parent=None, **more)).events
    assert isinstance(event, BlocksStored) and not event.plain


def test_only_whole_attention_counts_in_removals_too() -> None:
    decoder = EventDecoder()
    batch = decode(
        stored(1, group_idx=1, kv_cache_spec_kind="sliding_window"),
        stored(1),
        removed(1, group_idx=1),
        stored(2, kv_cache_spec_kind="mla_attention"),
        stored(3, kv_cache_spec_kind="sink_full_attention"),
        decoder=decoder,
    )
    assert [event.hashes for event in batch.events if not isinstance(event, AllCleared)] == [(1,), (2,), (3,)]
    assert batch.skipped == 2
    assert decode(removed(1), decoder=decoder).events == (BlocksRemoved((1,), "device"),)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 5000,
        encode("x"),
        encode(5),
        encode([]),
        encode([1.0, {}, 0]),
        encode(["soon", [], 0]),
        encode([1.0, [5], 0]),
        encode([1.0, [[]], 0]),
        encode([1.0, [{"type": "BlockStored"}], 0]),
        encode([1.0, [{"type": "BlockStored", "block_hashes": 4}], 0]),
        encode([1.0, [{"type": "BlockRemoved", "block_hashes": ["text"]}], 0]),
        encode([1.0, [{"type": "BlockRemoved", "block_hashes": [None]}], 0]),
        encode([1.0, [removed(*range(MOST_BLOCKS + 1))], 0]),
        encode([float("inf"), [], 0]),
        encode([1.0, [stored(1, token_ids=["text"])], 0]),
        encode([1.0, [stored(1, token_ids=[-1])], 0]),
        encode([1.0, [stored(1, tokens=-5)], 0]),
        encode([1.0, [stored(1, tokens=2**40)], 0]),
        b"\x00" * (MOST_PAYLOAD + 1),
    ],
    ids=lambda payload: f"{payload[:12]!r} {len(payload)}",
)
def test_what_is_no_batch_is_named(payload: bytes) -> None:
    with pytest.raises(MalformedEvents):
        EventDecoder().decode(payload)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(
    fields=st.dictionaries(
        st.sampled_from(
            [
                "block_hashes",
                "parent_block_hash",
                "token_ids",
                "block_size",
                "medium",
                "extra_keys",
                "group_idx",
                "kv_cache_spec_kind",
                "cache_salt",
                "lora_id",
            ]
        ),
        JSON,
    ),
    kind=st.sampled_from(["BlockStored", "BlockRemoved"]),
)
def test_any_field_is_read_or_refused(fields: dict[str, Any], kind: str) -> None:
    try:
        batch = decode({"type": kind, **fields})
    except MalformedEvents:
        return
    assert all(isinstance(event, BlocksStored | BlocksRemoved) for event in batch.events)
