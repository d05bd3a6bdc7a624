"""The chunks of a streamed text completion as vLLM and SGLang write them, decoded by type."""

from __future__ import annotations

from typing import Any

from kvproxy.errors import SetupError

try:
    import msgspec
except ImportError as missing:
    raise SetupError("fleets need msgspec, pyzmq and cbor2; pip install 'kvproxy[fleet]'") from missing


class ChunkLogprobs(msgspec.Struct):
    """Logprobs of a chunk's tokens. ``tokens`` are ``token_id:7``, as the request asks for."""

    tokens: list[str] = []
    token_logprobs: list[float | None] = []
    top_logprobs: list[dict[str, float] | None] | None = None


class AnsweredChoice(msgspec.Struct):
    """The one choice of a chunk."""

    text: str = ""
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    logprobs: ChunkLogprobs | None = None


class PromptDetails(msgspec.Struct):
    """Details that a replica gives with ``--enable-prompt-tokens-details`` (SGLang: ``--enable-cache-report``)."""

    cached_tokens: int | None = None
    created_cache_tokens: int | None = None
    """Positions that it computed and cached; vLLM 0.32 tells it on chat alone."""


class ChunkUsage(msgspec.Struct):
    """Counts so far, or of the whole answer."""

    prompt_tokens: int = 0
    completion_tokens: int | None = 0
    prompt_tokens_details: PromptDetails | None = None


class CompletionChunk(msgspec.Struct):
    """One event of the stream. The last one has usage and no choices."""

    choices: list[AnsweredChoice] = []
    usage: ChunkUsage | None = None
    system_fingerprint: str | None = None
    error: Any = None


_DECODER = msgspec.json.Decoder(CompletionChunk)


def read_chunk(payload: bytes) -> CompletionChunk:
    """Return the chunk of one event. Raises ValueError for anything else."""
    return _DECODER.decode(payload)


def encode_json(value: Any) -> bytes:
    """Return a value as JSON, tuples as arrays."""
    return msgspec.json.encode(value)
