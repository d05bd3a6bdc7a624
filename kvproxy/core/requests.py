"""Requests of all dialects as frozen values.

A request travels as a :class:`ChatRequest` or :class:`TextRequest`, becomes a :class:`~kvproxy.core.prompts.Prompt`
(token ids and the places of documents in them), and comes back as a stream of :data:`~kvproxy.events.Event` values
for each choice, which ends in exactly one ``Finished`` or an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kvproxy.core.answer_format import AnswerFormat

Role = Literal["system", "user", "assistant", "tool"]


NAMEABLE_ID = r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}"
"""Regular expression of a document's id in a reference. ``ID_PATTERN`` of the documents, the ids that can be published
now, is narrower: older stores hold ids with ``..`` or ``//``."""


LATEST = "latest"
"""The alias that every document has: its current version."""


@dataclass(frozen=True, slots=True)
class DocumentRef:
    """The name of a document, or of one version of it: ``handbook``, ``handbook@3`` or ``handbook@stable``."""

    id: str
    version: int | None = None
    owner: str | None = None
    """The publisher's scope, for a private version: each publisher has private ids of its own, invisible to
    others. None for a public one and in clients' references, which the server resolves."""
    alias: str | None = None
    """In clients' references: a movable name of one version, which its publisher has set; ``latest`` is the current
    one. The library resolves it."""

    def __str__(self) -> str:
        named = self.alias if self.version is None else self.version
        return self.id if named is None else f"{self.id}@{named}"

    @property
    def name(self) -> str:
        """Unique among all documents: the public id, or a private one with its owner. No id holds a line end."""
        return self.id if self.owner is None else f"{self.id}\n{self.owner}"


@dataclass(frozen=True, slots=True)
class TextPart:
    """A part that is text."""

    text: str
    mark: bool = False
    """True where a reusable prefix ends with this part: OpenAI's ``prompt_cache_breakpoint``, Anthropic's
    ``cache_control``."""


@dataclass(frozen=True, slots=True)
class DocumentPart:
    """A part that stands for a document's text: ``{"type": "kv_document", "document": "handbook@3"}``."""

    document: DocumentRef
    mark: bool = False


Part = TextPart | DocumentPart


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that an earlier assistant message made. ``arguments`` is the JSON text that the client sent."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message as the client sent it, with ``developer`` already turned into ``system``."""

    role: Role
    content: tuple[Part, ...]
    tool_calls: tuple[ToolCall, ...] = ()
    """Assistant messages only."""
    tool_call_id: str | None = None
    """Tool messages only: the id of the call that this is the result of."""
    reasoning: str | None = None
    """Assistant messages only: the reasoning of an earlier answer, where the client sends it back."""


ToolForm = Literal["function", "custom", "shell", "local_shell", "apply_patch", "tool_search"]
"""The form in which a tool's calls are returned to the client: as a function's, free text, or a built-in's own
item."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call. ``parameters`` is its JSON schema, in the client's own key order."""

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    strict: bool = False
    """The arguments must follow the schema: enforced while sampling."""
    assumed: bool = False
    """True where ``strict`` is the dialect's default and not the client's choice: a schema that cannot be enforced
    is then left unenforced, and the request is not refused."""
    form: ToolForm = "function"
    namespace: str | None = None
    """The group that the client declared it in; ``name`` is then unique among all groups."""
    bare_name: str | None = None
    """The client's own name for it inside of its namespace."""
    found: bool = False
    """True for a tool that the conversation itself declares, as the result of a search for tools. It stands in no
    tool list at the front of the prompt, whose change would cost the whole prompt."""


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """The tools that may be called. Empty ``names`` allow all; one named function is ``required`` with one name."""

    mode: Literal["none", "auto", "required"] = "auto"
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CacheHints:
    """The client's hints about keeping its prompt. They choose among its own pages only."""

    key: str | None = None
    """``prompt_cache_key``: the client's hint for routing in a fleet. It separates no pages, unless the operator
    set that for an API key: agents send a fresh session id here, and would never hit."""
    salt: str | None = None
    """``cache_salt``: requests with different salts, or with none, share published documents and nothing else."""
    explicit: bool = False
    """``prompt_cache_options.mode: explicit``: keep no page behind the last mark."""
    retain: bool = True
    """False where ``store: false`` means that nothing of this request is kept: see ``ReadingPolicy.store_false``."""
    ttl_s: int | None = None
    """The seconds that the client wants its prompt to be kept: OpenAI's ``prompt_cache_retention`` and ``ttl``,
    Anthropic's ``cache_control.ttl``."""
    reuse: bool = True
    """False: the client asked that this prompt is computed from scratch, and leaves nothing behind: ``kv_reuse``."""


Placement = Literal["keep", "front"]
"""The place of known documents in the prompt: as the client wrote them, or at its front, which changes the prompt."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters. The defaults change nothing; ``temperature == 0`` is greedy."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    """Pairs of token id and the value added to its logit, by token id."""
    seed: int | None = None
    max_tokens: int | None = None
    min_tokens: int = 0
    """End tokens and stop strings count only after so many tokens."""
    ignore_eos: bool = False
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    logprobs: int | None = None
    """The number of alternatives beside each chosen token, 0 to 20; None for no logprobs."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A piece of a request that the local model is not shown, or that is not done, where the dialect allows that."""

    param: str
    """The path of the field as the client wrote it: ``tools[3]``, ``messages[2].content[0]``."""
    what: str
    """Its kind, in a word or two: ``web_search``, ``image``. Never a client's text."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A validated request in any of the chat dialects."""

    model: str
    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    stream: bool = False
    include_usage: bool = False
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Extra variables for the chat template, e.g. ``{"enable_thinking": False}``."""
    n: int = 1
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    parallel_tool_calls: bool = True
    response_format: AnswerFormat | None = None
    cache: CacheHints = CacheHints()
    prediction: str | None = None
    """The answer that the client expects. It changes when tokens come, never their choice."""
    left_out: tuple[LeftOut, ...] = ()
    """Named to the client in a header: see ``wire/answers/left_out.py``."""
    placement: Placement = "keep"


@dataclass(frozen=True, slots=True)
class TextRequest:
    """A validated text completion request: the prompt as it is, without a chat template.

    ``prompt`` is text, or token ids that the client made itself.
    """

    model: str
    prompt: str | tuple[int, ...]
    sampling: Sampling = Sampling()
    n: int = 1
    cache: CacheHints = CacheHints()
    response_format: AnswerFormat | None = None
