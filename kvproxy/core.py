"""The words every layer shares: values only, standard library only, no I/O.

A request travels as a :class:`ChatRequest` (what the client meant), becomes a
:class:`Prompt` (token ids and where the documents stand in them), and comes back as a
stream of :data:`Event` values for each choice, which ends in exactly one :class:`Finished` or an exception.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

from kvproxy.answer_format import AnswerFormat
from kvproxy.answer_format import JsonFormat as JsonFormat

PAGE_TOKENS = 256
"""Positions in one page of KV. Part of the engine fingerprint; never change it in place."""

Role = Literal["system", "user", "assistant", "tool"]
Visibility = Literal["public", "private"]
IsolateBy = Literal["prompt_cache_key"]
Reasoning = Literal["none", "may", "open"]
"""Where an answer stands when it begins: the model does not think, may open a think block, or is in one."""

HERMES = "hermes"
"""How most model families write a tool call: ``<tool_call>`` around a JSON object. Names of other ways are keys of
the registry in ``wire/tool_formats.py``."""

PUBLIC = "public"
"""Scope of the pages of public documents: any caller may read them, only publishing writes them."""


class MissReason(StrEnum):
    """Why a prompt was not served from kept pages. The list is closed: metrics use it as a label."""

    NO_DOCUMENT = "no-document"
    """Nothing at the front of the messages is known, and no earlier prompt started the same way."""
    NEW_PREAMBLE = "new-preamble"
    """The document is known, but never stood behind this system prompt or these tools for this caller."""
    NOT_RESIDENT = "not-resident"
    """The document is known under this preamble, but its pages were evicted."""
    PAGES_REJECTED = "pages-rejected"
    """Kept pages failed their checksum or belong to another fingerprint."""
    QUARANTINED = "quarantined"
    """An audit found that the document's kept pages differ from a prefill; nothing kept is used until that is
    settled."""
    ENGINE_FAILED = "engine-failed"
    """The hit path failed before the first byte; the request was retried as a miss."""


@dataclass(frozen=True, slots=True)
class DocumentRef:
    """Names a document, or one version of it: ``handbook`` or ``handbook@3``."""

    id: str
    version: int | None = None
    owner: str | None = None
    """The publisher's scope, of a private version: each publisher has private ids of its own, and nobody can tell
    which. None of a public one, and in what clients write: the server finds out which they mean."""

    def __str__(self) -> str:
        return self.id if self.version is None else f"{self.id}@{self.version}"

    @property
    def name(self) -> str:
        """Unique among all documents: the public id, or a private one with its owner. No id holds a line end."""
        return self.id if self.owner is None else f"{self.id}\n{self.owner}"


@dataclass(frozen=True, slots=True)
class TextPart:
    text: str
    mark: bool = False
    """The client says that a reusable prefix ends with this part: OpenAI's ``prompt_cache_breakpoint``,
    Anthropic's ``cache_control``."""


@dataclass(frozen=True, slots=True)
class DocumentPart:
    """``{"type": "kv_document", "document": "handbook@3"}``: stands for the document's text."""

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
    """Tool messages only: which call this is the result of."""
    reasoning: str | None = None
    """Assistant messages only: what it thought, where the client sends it back."""


ToolForm = Literal["function", "custom", "shell", "local_shell", "apply_patch", "tool_search"]
"""The form in which a tool's client is told of calls: as a function's, free text, or a built-in's own item."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call. ``parameters`` is its JSON schema, in the client's own key order."""

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    strict: bool = False
    """The arguments must follow the schema: enforced while sampling."""
    assumed: bool = False
    """``strict`` is the dialect's default, which the client did not ask for: where it cannot be enforced, it is
    not, and nobody is refused for it."""
    form: ToolForm = "function"
    namespace: str | None = None
    """The group that the client declared it in; ``name`` is then unique among all groups."""
    bare_name: str | None = None
    """The client's own name for it inside of its namespace."""
    found: bool = False
    """The conversation itself tells of it, as the result of a search for tools: it stands in no list before it, whose
    change would cost the whole prompt."""


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """``names``: only these of the tools may be called; empty means all. One named function is ``required`` with
    one name."""

    mode: Literal["none", "auto", "required"] = "auto"
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CacheHints:
    """What the client says about keeping its prompt. It chooses among its own pages only."""

    key: str | None = None
    """``prompt_cache_key``: where a fleet may best send the request. It separates nothing, unless the operator set
    that for an API key: agents send a fresh session id here, and would never hit."""
    salt: str | None = None
    """``cache_salt``: requests with different salts, or with none, share published documents and nothing else."""
    explicit: bool = False
    """``prompt_cache_options.mode: explicit``: keep nothing behind the last mark."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose tokens. The defaults ask for nothing; ``temperature == 0`` is greedy."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    """(token id, what to add to its logit), by token id."""
    seed: int | None = None
    max_tokens: int | None = None
    min_tokens: int = 0
    """No end token and no stop string counts before so many tokens."""
    ignore_eos: bool = False
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    logprobs: int | None = None
    """None: no logprobs. Else how many alternatives to give beside each chosen token, 0 to 20."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A piece of a request that the local model is not shown or that is not done, where its dialect allows that."""

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
    """What the client expects the answer to be. It changes when tokens come, never which."""
    left_out: tuple[LeftOut, ...] = ()
    """Told to the client in a header: see ``wire/left_out.py``."""


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


_DOCUMENTS = "/documents"


def documents_scope(scope: str) -> str:
    """The scope of the pages of ``scope``'s private documents: apart from its prompts, so that a salted request reads
    the ones and not the others."""
    return f"{scope}{_DOCUMENTS}"


def owner_of(scope: str) -> str:
    """Whose documents are kept in this scope: the tenant's, or PUBLIC, which is one by itself where the engine is
    shared."""
    return scope.removesuffix(_DOCUMENTS)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking. ``scope`` is derived by the server from the API key; no caller can choose it."""

    name: str
    scope: str
    isolate_by: IsolateBy | None = None
    """The operator's choice for this API key: the request's field that is a salt where it has no ``cache_salt``."""
    salt: str | None = None
    """A digest of the salt that this request's pages are kept apart by: see :meth:`salted`."""

    @property
    def cache_scope(self) -> str:
        """Where pages are kept that belong to no published document."""
        return self.scope if self.salt is None else f"{self.scope}#{self.salt}"

    @property
    def readable(self) -> tuple[str, ...]:
        """Scopes whose pages this caller may read, in the order they are tried."""
        return (PUBLIC, documents_scope(self.scope), self.cache_scope)

    def salted(self, hints: CacheHints) -> Caller:
        """This caller, keeping its pages apart from those with another salt, and without one. No salt: as it is."""
        salt = hints.salt or (hints.key if self.isolate_by == "prompt_cache_key" else None)
        if not salt:
            return self
        return replace(self, salt=hashlib.sha256(salt.encode("utf-8", "surrogatepass")).hexdigest()[:32])


@dataclass(frozen=True, slots=True)
class Span:
    """A known document inside a prompt: its tokens are ``token_ids[start:end]``.

    ``end`` is the last position whose token belongs to the document alone, whatever text follows.
    """

    document: DocumentRef
    start: int
    end: int
    scope: str | None = None
    """The document's own scope when ``token_ids[:end]`` is one of its published framings, so that whoever
    prefills it restores the published pages; None under any other preamble (the caller's scope then)."""
    quarantined: bool = False
    """Its kept pages are not trusted: the prompt is computed from scratch."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The exact token ids that the model will see, and the documents found in them."""

    token_ids: tuple[int, ...]
    documents: tuple[Span, ...] = ()
    marks: tuple[int, ...] = ()
    """Ends of the prefixes that the client marked as reusable, in positions, ascending."""
    reasoning: Reasoning = "none"
    tool_format: str = HERMES


@dataclass(frozen=True, slots=True)
class Constraint:
    """What the answer has to look like. The engine turns it into a grammar that masks its sampling.

    Forced calls (``choice.mode == "required"``), strict tools and ``format`` are enforced; where none of them
    applies there is no constraint.
    """

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = ToolChoice()
    parallel: bool = True
    """Whether one answer may hold several calls."""
    format: AnswerFormat | None = None
    reasoning: Reasoning = "none"
    tool_format: str = HERMES


@dataclass(frozen=True, slots=True)
class GrammarText:
    """A constraint as the text of a grammar, and what it does not enforce though a client asked for it."""

    text: str
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """Pages that hold the first ``tokens`` positions of a prompt; held while the lookup's block is open."""

    tokens: int
    on_disk: int
    """How many of those positions must be loaded first."""


@dataclass(frozen=True, slots=True)
class NotFound:
    """No page that the caller may use."""

    seen: bool
    """True when the first page was once kept for this caller and has been evicted."""


Lookup = Found | NotFound


@dataclass(frozen=True, slots=True)
class KeptPage:
    key: bytes
    """sha256 page key, 32 bytes."""
    tokens: int


def stored_key(key: bytes, scope: str) -> bytes:
    """The key, 32 bytes, of a page in the page store. Pages that not everybody may read lie there once for each scope:
    whether another publisher has the same text is told neither by how long it takes to write or drop them, nor by the
    room they take."""
    return key if scope == PUBLIC else hashlib.sha256(key + scope.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class Kept:
    """What is written down of one published prefix: enough to find its pages again after a restart."""

    fingerprint: str
    token_ids: tuple[int, ...]
    pages: tuple[KeptPage, ...]
    bytes: int
    prefill_s: float
    """0.0 when every page was there already."""


@dataclass(frozen=True, slots=True)
class Hit:
    """The prompt starts with ``cached_tokens`` positions whose KV the caller may use."""

    cached_tokens: int
    document: DocumentRef | None
    """The first known document inside those positions; None when only an earlier prompt matched."""


@dataclass(frozen=True, slots=True)
class Miss:
    reason: MissReason
    document: DocumentRef | None = None


Decision = Hit | Miss
