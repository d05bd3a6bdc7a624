"""`EventDecoder`: a replica's msgpack payloads, of vLLM or SGLang, in either of their forms, as KV events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from kvproxy.errors import SetupError
from kvproxy.residency.block_hashes import short_hash
from kvproxy.residency.kv_events import (
    TIER_OF_MEDIUM,
    AllCleared,
    BlocksRemoved,
    BlocksStored,
    EventBatch,
    KvEvent,
)

try:
    from msgspec import DecodeError
    from msgspec.msgpack import Decoder
except ImportError as missing:
    raise SetupError("KV events need msgspec and pyzmq; pip install 'kvproxy[fleet]'") from missing

MOST_PAYLOAD = 16 << 20
"""Bytes of one payload: some 2 million tokens."""
MOST_BLOCKS = 1 << 17
"""Blocks of one event."""
MOST_BLOCK_TOKENS = 1 << 20
_COUNTED_KINDS = frozenset({None, "full_attention", "mla_attention", "sink_full_attention"})
"""The kinds of attention whose blocks are all there or all gone. Of a sliding window only the last ones are kept, and
would be taken for a prefix."""
_FIELDS: dict[str, tuple[str, ...]] = {
    "BlockStored": (
        *("block_hashes", "parent_block_hash", "token_ids", "block_size", "lora_id", "medium"),
        *("lora_name", "extra_keys", "group_idx", "kv_cache_spec_kind"),
    ),
    "BlockRemoved": ("block_hashes", "medium", "group_idx"),
    "AllBlocksCleared": (),
}
"""The fields of the older form, an array, by their places; what the sender leaves out at the end is absent."""


class MalformedEvents(Exception):
    """A payload that is no batch of KV events. The replica's blocks are unknown after it."""


class EventDecoder:
    """The decoder of one stream of events. It remembers which groups of layers do not count. For one thread."""

    def __init__(self) -> None:
        self._decoder: Decoder[Any] = Decoder()
        self._other_groups: set[int] = set()

    def decode(self, payload: bytes) -> EventBatch:
        """Return a payload's events. Raises `MalformedEvents`; unknown events and fields are skipped and counted."""
        if len(payload) > MOST_PAYLOAD:
            raise MalformedEvents(f"a payload of {len(payload)} bytes; at most {MOST_PAYLOAD} are read")
        try:
            return self._batch(self._decoder.decode(payload))
        except (DecodeError, ValueError, TypeError, LookupError, RecursionError, OverflowError) as error:
            raise MalformedEvents(
                f"no batch of KV events: {type(error).__name__}: {str(error)[:200]}"
            ) from None

    def _batch(self, data: Any) -> EventBatch:
        if isinstance(data, Mapping):
            at, told, rank = data["ts"], data["events"], data.get("data_parallel_rank")
        else:
            at, told, rank = data[0], data[1], data[2] if len(data) > 2 else None
        if not isinstance(told, list) or not isinstance(at, int | float) or not isfinite(at):
            raise ValueError("a batch is [time, [events], rank]")
        events = [self._event(event) for event in told]
        kept = tuple(event for event in events if event is not None)
        return EventBatch(float(at), kept, int(rank or 0), len(events) - len(kept))

    def _event(self, data: Any) -> KvEvent | None:
        fields = data if isinstance(data, Mapping) else _named(data)
        match fields.get("type"):
            case "BlockStored":
                return self._stored(fields)
            case "BlockRemoved":
                return self._removed(fields)
            case "AllBlocksCleared":
                return AllCleared()
        return None

    def _stored(self, fields: Mapping[str, Any]) -> BlocksStored | None:
        group = fields.get("group_idx")
        if fields.get("kv_cache_spec_kind") not in _COUNTED_KINDS:
            if isinstance(group, int) and len(self._other_groups) < 256:
                self._other_groups.add(group)
            return None
        parent = fields.get("parent_block_hash")
        salt, plain = _salt(fields, first=parent is None)
        return BlocksStored(
            _hashes(fields),
            TIER_OF_MEDIUM.get(fields.get("medium") or "", "unknown"),
            None if parent is None else short_hash(parent),
            _tokens(fields),
            _block_size(fields),
            salt,
            plain,
        )

    def _removed(self, fields: Mapping[str, Any]) -> BlocksRemoved | None:
        if fields.get("group_idx") in self._other_groups:
            return None
        return BlocksRemoved(_hashes(fields), TIER_OF_MEDIUM.get(fields.get("medium") or "", "unknown"))


def _named(data: Sequence[Any]) -> dict[str, Any]:
    """Return an event of the older form with its fields named."""
    kind = data[0]
    return {"type": kind} | dict(zip(_FIELDS.get(kind, ()), data[1:], strict=False))


def _hashes(fields: Mapping[str, Any]) -> tuple[int, ...]:
    told = fields["block_hashes"]
    if len(told) > MOST_BLOCKS:
        raise ValueError(f"an event of {len(told)} blocks; at most {MOST_BLOCKS} are read")
    return tuple(map(short_hash, told))


def _tokens(fields: Mapping[str, Any]) -> tuple[int, ...]:
    told = tuple(fields.get("token_ids") or ())
    if told and (set(map(type, told)) != {int} or min(told) < 0):
        raise ValueError("token_ids are no token ids")
    return told


def _block_size(fields: Mapping[str, Any]) -> int:
    told = fields.get("block_size") or 0
    if not isinstance(told, int) or not 0 <= told <= MOST_BLOCK_TOKENS:
        raise ValueError(f"a block_size of {told!r:.20}")
    return told


def _salt(fields: Mapping[str, Any], *, first: bool) -> tuple[str | None, bool]:
    """Return the salt of a chain's first block, and whether nothing else goes into the hashes but tokens.

    vLLM's extra keys are lists, one for each block, of a LoRA's name, images, the salt and embeddings, not told apart;
    SGLang names the salt.
    """
    named = fields.get("cache_salt")
    keys = [block for block in fields.get("extra_keys") or () if block]
    if fields.get("lora_name") is not None or fields.get("lora_id") is not None:
        return None, False
    if not keys:
        return (named if isinstance(named, str) and first else None), True
    ours = first and len(keys) == 1 and len(keys[0]) == 1 and isinstance(keys[0][0], str)
    return (keys[0][0], True) if ours else (None, False)
