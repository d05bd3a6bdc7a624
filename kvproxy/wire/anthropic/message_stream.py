"""An answer as Anthropic's events: one message, its content blocks one after another, their stop reason."""

from __future__ import annotations

from kvproxy.errors import KVProxyError
from kvproxy.events import Event, Finished, ReasoningDelta, Started, TextDelta, ToolCallDelta, Usage
from kvproxy.wire.answers import event_bytes
from kvproxy.wire.anthropic.errors import error_body
from kvproxy.wire.anthropic.message_answer import (
    MessageHead,
    delta_usage,
    message_object,
    start_usage,
    stop_of,
    text_block,
    thinking_block,
    tool_block,
)
from kvproxy.wire.anthropic.types import BlockDelta, ContentBlock, MessageDelta, MessageStreamEvent

PING = event_bytes.event({"type": "ping"}, "ping")


class MessageStream:
    """Encodes the events of one answer. Only ever choice 0: this dialect has no ``n``.

    ``message_start`` and ``message_delta`` split the prompt in the same way, so that clients may add up either. The
    cache counts of an upstream in the engine's place are known at its end: ``message_start`` then leaves them open.
    """

    def __init__(self, head: MessageHead, *, request_id: str) -> None:
        self._head = head
        self._request_id = request_id
        self._blocks = 0
        self._kind: str | None = None
        """The type of the open block."""
        self._call_blocks: dict[int, int] = {}
        """Block index by call index."""
        self._blank = ""
        """White space that begins a text block only if text follows: between calls it is layout."""
        self._finished: Finished | None = None

    def begin(self, started: Started, *, prompt_tokens: int, choices: int) -> bytes:
        """Encode ``message_start``. Example: ``stream.begin(started, prompt_tokens=512, choices=1)``."""
        start = message_object(self._head, [], start_usage(started, prompt_tokens), None, None)
        return _event({"type": "message_start", "message": start}) + PING

    def event(self, index: int, event: Event) -> bytes:
        match event:
            case TextDelta():
                return self._text(event.text)
            case ReasoningDelta():
                return self._thinking(event.text)
            case ToolCallDelta():
                return self._called(event)
            case Finished():
                self._finished = event
                left = b"" if self._call_blocks or not self._blank else self._say(self._blank)
                return left + self._close()
        return b""

    def end(self, usage: Usage) -> bytes:
        if self._finished is None:
            raise RuntimeError("a stream ended without its final event")
        reason, sequence = stop_of(self._finished.reason, self._finished.stopped_by)
        delta: MessageDelta = {
            "stop_reason": reason,
            "stop_sequence": sequence,
            "stop_details": None,
            "container": None,
        }
        last = _event({"type": "message_delta", "delta": delta, "usage": delta_usage(usage)})
        return last + _event({"type": "message_stop"})

    def error(self, error: KVProxyError) -> bytes:
        return event_bytes.event(error_body(error, self._request_id), "error")

    def pulse(self) -> bytes:
        return PING

    def _text(self, text: str) -> bytes:
        if self._kind == "text":
            return self._delta({"type": "text_delta", "text": text})
        self._blank += text
        if not self._blank.strip():
            return b""
        return self._say(self._blank)

    def _say(self, text: str) -> bytes:
        self._blank = ""
        opened = self._open("text", text_block(""))
        return opened + self._delta({"type": "text_delta", "text": text})

    def _thinking(self, text: str) -> bytes:
        opened = b"" if self._kind == "thinking" else self._open("thinking", thinking_block(""))
        if not self._head.show_thinking:
            return opened
        return opened + self._delta({"type": "thinking_delta", "thinking": text})

    def _called(self, piece: ToolCallDelta) -> bytes:
        """Encode a piece of a call.

        A later piece of a call before the last one goes to its own block, which clients find by index.
        """
        self._blank = ""
        opened = b""
        if piece.index not in self._call_blocks:
            block = tool_block(piece.id or "", piece.name or "", {})
            opened = self._open("tool_use", block)
            self._call_blocks[piece.index] = self._blocks - 1
            opened += self._delta({"type": "input_json_delta", "partial_json": ""})
        if not piece.arguments:
            return opened
        delta: BlockDelta = {"type": "input_json_delta", "partial_json": piece.arguments}
        at = self._call_blocks[piece.index]
        return opened + _event({"type": "content_block_delta", "index": at, "delta": delta})

    def _open(self, kind: str, block: ContentBlock) -> bytes:
        closed = self._close()
        self._kind = kind
        self._blocks += 1
        index = self._blocks - 1
        return closed + _event({"type": "content_block_start", "index": index, "content_block": block})

    def _close(self) -> bytes:
        if self._kind is None:
            return b""
        signed = b""
        if self._kind == "thinking":
            signed = self._delta({"type": "signature_delta", "signature": ""})
        self._kind = None
        return signed + _event({"type": "content_block_stop", "index": self._blocks - 1})

    def _delta(self, delta: BlockDelta) -> bytes:
        return _event({"type": "content_block_delta", "index": self._blocks - 1, "delta": delta})


def _event(event: MessageStreamEvent) -> bytes:
    return event_bytes.event(event, event["type"])
