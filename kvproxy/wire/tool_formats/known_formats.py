"""The registry of tool formats of model families. A prompt's ``tool_format`` is a key of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kvproxy.core import HERMES, Tool, ToolCall
from kvproxy.wire.tool_formats import hermes, llama3_json, mistral, qwen3_coder
from kvproxy.wire.tool_formats.base import ToolParser


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """A parser and its writer.

    ``write`` returns a model's text for some calls: for fakes and for tests of the parser.
    """

    parser: Callable[[Sequence[Tool]], ToolParser]
    write: Callable[[Sequence[ToolCall]], str]


FORMATS: Mapping[str, ToolFormat] = {
    HERMES: ToolFormat(hermes.HermesParser, hermes.write),
    "llama3_json": ToolFormat(llama3_json.Llama3JsonParser, llama3_json.write),
    "mistral": ToolFormat(mistral.MistralParser, mistral.write),
    "qwen3_coder": ToolFormat(qwen3_coder.Qwen3CoderParser, qwen3_coder.write),
}
