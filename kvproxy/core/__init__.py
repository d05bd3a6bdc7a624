"""Shared values: requests, callers, prompts, pages and decisions. Standard library only, no I/O.

Read ``requests`` first, then ``prompts``: the wire layer parses a body into a request, the composer turns it into a
prompt, the pipeline makes a decision about it, and the engine computes it. ``callers`` has the scopes that separate
tenants, ``pages`` the units of kept KV. Every package may import this one; it imports none.
"""

from kvproxy.core.answer_format import AnswerFormat, JsonFormat
from kvproxy.core.callers import PUBLIC, Caller, IsolateBy, Visibility, documents_scope, owner_of
from kvproxy.core.decisions import Decision, Hit, Miss, MissReason
from kvproxy.core.pages import PAGE_TOKENS, Kept, KeptPage, NoPages, PageLookup, PagesFound, stored_key
from kvproxy.core.prompts import HERMES, Constraint, GrammarText, Prompt, Reasoning, Span
from kvproxy.core.requests import (
    NAMEABLE_ID,
    CacheHints,
    ChatRequest,
    DocumentPart,
    DocumentRef,
    LeftOut,
    Message,
    Part,
    Role,
    Sampling,
    TextPart,
    TextRequest,
    Tool,
    ToolCall,
    ToolChoice,
    ToolForm,
)

__all__ = [
    "HERMES",
    "NAMEABLE_ID",
    "PAGE_TOKENS",
    "PUBLIC",
    "AnswerFormat",
    "CacheHints",
    "Caller",
    "ChatRequest",
    "Constraint",
    "Decision",
    "DocumentPart",
    "DocumentRef",
    "GrammarText",
    "Hit",
    "IsolateBy",
    "JsonFormat",
    "Kept",
    "KeptPage",
    "LeftOut",
    "Message",
    "Miss",
    "MissReason",
    "NoPages",
    "PageLookup",
    "PagesFound",
    "Part",
    "Prompt",
    "Reasoning",
    "Role",
    "Sampling",
    "Span",
    "TextPart",
    "TextRequest",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "ToolForm",
    "Visibility",
    "documents_scope",
    "owner_of",
    "stored_key",
]
