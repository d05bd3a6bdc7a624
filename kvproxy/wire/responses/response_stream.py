"""The events of one response, in OpenAI's order: each item is opened, grows and is closed before the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kvproxy.core import ToolCall
from kvproxy.errors import KVProxyError
from kvproxy.events import (
    Event,
    Finished,
    FinishReason,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from kvproxy.wire.answers import event_bytes
from kvproxy.wire.answers.logprob_bodies import TokenLogprobBody
from kvproxy.wire.responses.call_items import CallItems, custom_item, function_item
from kvproxy.wire.responses.call_types import CustomToolCall
from kvproxy.wire.responses.response_answer import (
    end_response,
    fail_response,
    last_status,
    logprobs_body,
    message_item,
    reasoning_item,
    text_part,
)
from kvproxy.wire.responses.response_ids import ResponseIds
from kvproxy.wire.responses.types import (
    FunctionCall,
    ItemStatus,
    OutputItem,
    ReasoningTextPart,
    Response,
)
from kvproxy.wire.tools.free_form import InputReader


class ResponseStream:
    """A :class:`StreamEncoder` for one choice. ``now`` returns Unix time in seconds."""

    def __init__(
        self, opened: Response, ids: ResponseIds, now: Callable[[], float], calls: CallItems | None = None
    ) -> None:
        self._call_items = calls or CallItems()
        self._input = InputReader()
        """The input of the open call of a free-form tool."""
        self._built_in: ToolCall | None = None
        """A call that has to be whole before it can be sent."""
        self._opened = opened
        self._ids = ids
        self._now = now
        self._sent = 0
        self._begun = False
        self._output: list[OutputItem] = []
        self._growing: OutputItem | None = None
        self._texts: list[str] = []
        self._logprobs: list[TokenLogprobBody] = []
        self._calls: dict[int, int] = {}
        self._reason: FinishReason = "stop"
        self.response: Response | None = None
        """The finished object, once ``end`` has been called."""

    def begin(self, started: Started, *, prompt_tokens: int, choices: int) -> bytes:
        """Encode ``response.created`` and ``response.in_progress``.

        Example: ``stream.begin(started, prompt_tokens=512, choices=1)``.
        """
        self._begun = True
        return self._send("response.created", response=self._opened) + self._send(
            "response.in_progress", response=self._opened
        )

    def event(self, index: int, event: Event) -> bytes:
        match event:
            case TextDelta():
                return self._text(event)
            case ReasoningDelta():
                return self._reasoning(event.text)
            case ToolCallDelta():
                return self._call(event)
            case Finished():
                self._reason = event.reason
        return b""

    def end(self, usage: Usage) -> bytes:
        data = b""
        if not self._output and self._built_in is None:
            data += self._open_message()
        data += self._close(last_status(self._reason))
        self.response = end_response(self._opened, self._output, self._reason, usage, at=int(self._now()))
        return data + self._send(f"response.{self.response['status']}", response=self.response)

    def error(self, error: KVProxyError) -> bytes:
        """Encode an error. A response that has begun fails as one; before that there is only an error event."""
        if self._begun:
            data = self._close("incomplete")
            return data + self._send(
                "response.failed", response=fail_response(self._opened, self._output, error)
            )
        return self._send("error", code=error.code, message=error.message, param=error.param)

    def pulse(self) -> bytes:
        return event_bytes.KEEPALIVE

    def _text(self, delta: TextDelta) -> bytes:
        if not (delta.text or delta.logprobs):
            return b""
        data = b"" if self._grows("message") else self._open_message()
        logprobs = logprobs_body(delta.logprobs)
        self._texts.append(delta.text)
        self._logprobs += logprobs
        return data + self._part("response.output_text.delta", delta=delta.text, logprobs=logprobs)

    def _open_message(self) -> bytes:
        item = message_item(self._ids, len(self._output), "", [])
        parts, item["content"] = item["content"], []
        return self._open(item) + self._part("response.content_part.added", part=parts[0])

    def _reasoning(self, text: str) -> bytes:
        data = b""
        if not self._grows("reasoning"):
            item = reasoning_item(self._ids, len(self._output), "")
            parts, item["content"] = item["content"], []
            data = self._open(item) + self._part("response.content_part.added", part=parts[0])
        self._texts.append(text)
        return data + self._part("response.reasoning_text.delta", delta=text)

    def _call(self, delta: ToolCallDelta) -> bytes:
        data = b""
        if delta.index not in self._calls:
            tool = self._call_items.tool(delta.name or "")
            if tool.form not in ("function", "custom"):
                data = self._close("completed")
                self._built_in = ToolCall(delta.id or "", tool.name, "")
                self._calls[delta.index] = -1
            else:
                place = len(self._output)
                make = function_item if tool.form == "function" else custom_item
                data = self._open(make(self._ids, place, tool, delta.id or "", ""))
                self._input = InputReader()
                self._calls[delta.index] = place
        return data + self._argue(self._calls[delta.index], delta.arguments)

    def _argue(self, place: int, arguments: str) -> bytes:
        """Encode more arguments of the call that is the item at ``place``."""
        if place < 0 and self._built_in is not None:
            self._built_in = replace(self._built_in, arguments=self._built_in.arguments + arguments)
        item = self._output[place] if place >= 0 else None
        if item is None or not arguments:
            return b""
        if item["type"] == "custom_tool_call":
            text = self._input.push(arguments) if item is self._growing else ""
            self._texts += [text] if text else []
            return self._piece("response.custom_tool_call_input.delta", place, delta=text) if text else b""
        assert item["type"] == "function_call"
        if item is self._growing:
            self._texts.append(arguments)
        else:
            # An upstream interleaves two calls: the late arguments still reach the finished object.
            item["arguments"] += arguments
        return self._piece("response.function_call_arguments.delta", place, delta=arguments)

    def _grows(self, type: str) -> bool:
        return self._growing is not None and self._growing["type"] == type

    def _open(self, item: OutputItem) -> bytes:
        data = self._close("completed")
        item["status"] = "in_progress"
        self._output.append(item)
        self._growing = item
        return data + self._send("response.output_item.added", output_index=len(self._output) - 1, item=item)

    def _close(self, status: ItemStatus) -> bytes:
        """Close the open item, if there is one, with its whole content."""
        if self._built_in is not None:
            return self._close_built_in(self._built_in, status)
        item = self._growing
        if item is None:
            return b""
        text = "".join(self._texts)
        if item["type"] == "function_call":
            data = self._close_call(item, text)
        elif item["type"] == "custom_tool_call":
            data = self._close_custom(item, text)
        elif item["type"] == "message":
            whole = text_part(text, self._logprobs)
            item["content"] = [whole]
            data = self._part("response.output_text.done", text=text, logprobs=self._logprobs)
            data += self._part("response.content_part.done", part=whole)
        elif item["type"] == "reasoning":
            thought: ReasoningTextPart = {"type": "reasoning_text", "text": text}
            item["content"] = [thought]
            data = self._part("response.reasoning_text.done", text=text)
            data += self._part("response.content_part.done", part=thought)
        item["status"] = status
        self._growing, self._texts, self._logprobs = None, [], []
        return data + self._send("response.output_item.done", output_index=len(self._output) - 1, item=item)

    def _close_call(self, item: FunctionCall, arguments: str) -> bytes:
        item["arguments"] = arguments
        place = len(self._output) - 1
        return self._piece(
            "response.function_call_arguments.done", place, name=item["name"], arguments=arguments
        )

    def _close_custom(self, item: CustomToolCall, input: str) -> bytes:
        place, rest = len(self._output) - 1, self._input.end()
        data = self._piece("response.custom_tool_call_input.delta", place, delta=rest) if rest else b""
        item["input"] = input + rest
        return data + self._piece("response.custom_tool_call_input.done", place, input=item["input"])

    def _close_built_in(self, call: ToolCall, status: ItemStatus) -> bytes:
        """Open and close a built-in's call at once: its item type is known only when it is whole."""
        self._built_in = None
        item = self._call_items.item(self._ids, len(self._output), call)
        if item["type"] != "function_call":
            self._output.append(item)
            place = len(self._output) - 1
            opened = {**item, "status": "in_progress"}
            return self._send("response.output_item.added", output_index=place, item=opened) + self._send(
                "response.output_item.done", output_index=place, item=item
            )
        data = self._open(item)
        self._texts = [call.arguments]
        return data + self._close(status)

    def _piece(self, type: str, place: int, **fields: object) -> bytes:
        """Encode an event about the item at ``place``."""
        return self._send(type, item_id=self._output[place]["id"], output_index=place, **fields)

    def _part(self, type: str, **fields: object) -> bytes:
        """Encode an event about the one content part of the open item, which is the newest."""
        item_id = self._output[-1]["id"]
        return self._send(
            type, item_id=item_id, output_index=len(self._output) - 1, content_index=0, **fields
        )

    def _send(self, type: str, **fields: object) -> bytes:
        number, self._sent = self._sent, self._sent + 1
        return event_bytes.event({"type": type, "sequence_number": number, **fields}, type)
