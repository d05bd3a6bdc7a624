"""Events of a replica's blocks, and their forms on the wire: vLLM's maps and arrays, SGLang's maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kvproxy.fake_replica.replica_options import EventForm


@dataclass(frozen=True, slots=True)
class ToldStored:
    """Blocks that are cached from now on, in a row."""

    hashes: tuple[int, ...]
    parent: int | None
    token_ids: tuple[int, ...]
    block_tokens: int
    salt: str | None
    first: bool
    """Whether the row begins with the prompt's first block, the only one that the salt enters."""
    session: str | None


@dataclass(frozen=True, slots=True)
class ToldRemoved:
    """Blocks that are no longer cached."""

    hashes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ToldCleared:
    """The whole cache is empty."""


ToldEvent = ToldStored | ToldRemoved | ToldCleared


def wire_batch(events: list[ToldEvent], form: EventForm, at: float) -> list[Any]:
    """Return a batch as msgpack carries it: time, events, data parallel rank.

    Example: ``msgspec.msgpack.encode(wire_batch(events, "map", time.time()))``
    """
    return [at, [_wire(event, form) for event in events], 0]


def _wire(event: ToldEvent, form: EventForm) -> Any:
    match event:
        case ToldStored():
            return _stored_array(event) if form == "array" else _stored(event, form)
        case ToldRemoved(hashes):
            removed: dict[str, Any] = {"type": "BlockRemoved", "block_hashes": list(hashes), "medium": "GPU"}
            if form == "array":
                return list(removed.values())
            return removed if form == "sglang" else {**removed, "group_idx": 0}
        case ToldCleared():
            return ["AllBlocksCleared"] if form == "array" else {"type": "AllBlocksCleared"}


def _stored(event: ToldStored, form: EventForm) -> dict[str, Any]:
    told: dict[str, Any] = {
        "type": "BlockStored",
        "block_hashes": list(event.hashes),
        "parent_block_hash": event.parent,
        "token_ids": list(event.token_ids),
        "block_size": event.block_tokens,
        "lora_id": None,
        "medium": "GPU",
        "lora_name": None,
    }
    if form == "sglang":
        return told | ({"cache_salt": event.salt} if event.salt else {}) | _session(event)
    salted = [[event.salt]] if event.first and event.salt else [None]
    told["extra_keys"] = salted + [None] * (len(event.hashes) - 1)
    return told | {"group_idx": 0, "kv_cache_spec_kind": "full_attention"} | _session(event)


def _session(event: ToldStored) -> dict[str, Any]:
    return {} if event.session is None else {"session_id": event.session}


def _stored_array(event: ToldStored) -> list[Any]:
    return [
        *("BlockStored", list(event.hashes), event.parent, list(event.token_ids)),
        *(event.block_tokens, None, "GPU"),
    ]
