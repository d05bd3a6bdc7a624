"""Shared values: requests, callers, prompts, pages and decisions. Standard library only, no I/O.

Read ``requests`` first, then ``prompts``: the wire layer parses a body into a request, the composer turns it into a
prompt, the pipeline makes a decision about it, and the engine computes it. ``callers`` has the scopes that separate
tenants, ``pages`` the units of kept KV. Every package may import this one; it imports none.
"""

from kvproxy.core.answer_format import AnswerFormat, JsonFormat
from kvproxy.core.callers import (
    ALL_PERMISSIONS,
    ANONYMOUS,
    DEFAULT_PERMISSIONS,
    GRANTED,
    PUBLIC,
    Caller,
    IsolateBy,
    Permission,
    Visibility,
    documents_scope,
    granted_scope,
    owner_of,
    scope_of_key,
    secret_scope,
)
from kvproxy.core.charges import Charge, DocumentCharge, DocumentTokens, MeteredTokens
from kvproxy.core.decisions import Decision, Hit, Miss, MissReason
from kvproxy.core.known_prefix import KnownPrefix, PageKeys
from kvproxy.core.miss_causes import MissCause
from kvproxy.core.money import NANO, Money, checked_currency, format_nano, parse_nano
from kvproxy.core.pages import PAGE_TOKENS, Kept, KeptPage, NoPages, PageLookup, PagesFound, stored_key
from kvproxy.core.prompts import HERMES, Constraint, GrammarText, Prompt, Reasoning, Span
from kvproxy.core.quotes import HonouredQuote, QuoteBasis, QuoteDecision
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
    "ALL_PERMISSIONS",
    "ANONYMOUS",
    "DEFAULT_PERMISSIONS",
    "GRANTED",
    "HERMES",
    "NAMEABLE_ID",
    "NANO",
    "PAGE_TOKENS",
    "PUBLIC",
    "AnswerFormat",
    "CacheHints",
    "Caller",
    "Charge",
    "ChatRequest",
    "Constraint",
    "Decision",
    "DocumentCharge",
    "DocumentPart",
    "DocumentRef",
    "DocumentTokens",
    "GrammarText",
    "Hit",
    "HonouredQuote",
    "IsolateBy",
    "JsonFormat",
    "Kept",
    "KeptPage",
    "KnownPrefix",
    "LeftOut",
    "Message",
    "MeteredTokens",
    "Miss",
    "MissCause",
    "MissReason",
    "Money",
    "NoPages",
    "PageKeys",
    "PageLookup",
    "PagesFound",
    "Part",
    "Permission",
    "Prompt",
    "QuoteBasis",
    "QuoteDecision",
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
    "checked_currency",
    "documents_scope",
    "format_nano",
    "granted_scope",
    "owner_of",
    "parse_nano",
    "scope_of_key",
    "secret_scope",
    "stored_key",
]
