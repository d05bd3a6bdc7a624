"""`REMEDIES`: the meaning of each cause of a miss, and what to do about it. docs/misses.md is made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kvproxy.core.miss_causes import MissCause


@dataclass(frozen=True, slots=True)
class Remedy:
    """One cause in words: a clause each, without a full stop."""

    meaning: str
    do: str


REMEDIES: Mapping[MissCause, Remedy] = {
    MissCause.TIMESTAMP: Remedy(
        "a date or a time differs in front of text that is otherwise the same",
        "move it behind the document, into the last message, or list `date` or `time` in requests.volatile_openings",
    ),
    MissCause.UUID: Remedy(
        "a random id differs: a uuid, a session id, a digest, a client's header",
        "move it behind the document or drop it; requests.client_metadata keeps a client's header out of the prompt, "
        "and `session` in requests.volatile_openings moves a session id",
    ),
    MissCause.COUNTER: Remedy(
        "a number differs that counts something: a turn, an attempt, tokens that are left",
        "move it into the last message",
    ),
    MissCause.TOOLS_ORDER: Remedy(
        "the same tools, or the same keys of a JSON object, stand in another order",
        "dump JSON in the prompt's text with sorted keys and named objects in one order; the field `tools` needs no "
        "care, the proxy sorts it",
    ),
    MissCause.WHITESPACE: Remedy(
        "only white space or invisible characters differ: CR LF, a trailing space, a no-break space",
        "send the text byte for byte as it was published or sent before; read files with newline='' or normalise both",
    ),
    MissCause.UNICODE_FORM: Remedy(
        "only the form of equal characters differs: composed accents, curly quotes, \\u escapes in JSON",
        "normalise both to NFC, leave quotes as they are, dump JSON with ensure_ascii the same each time",
    ),
    MissCause.ROLE_OR_TEMPLATE: Remedy(
        "the same text stands in another role or place, behind another preamble, or in another template",
        "put the document at the head of the system message, or add the place to documents.framings",
    ),
    MissCause.OTHER_VERSION: Remedy(
        "the text is that of another version of a known document, or an edited copy of one",
        "name the document (`handbook@latest`) and leave its text out, or publish the new text",
    ),
    MissCause.EVICTED: Remedy(
        "its pages were kept once, and made room for others",
        "pin the document, raise engine.page_budget or store.max_size, or ask again sooner",
    ),
    MissCause.EXPIRED: Remedy(
        "the document's time to live is over", "publish it again, or touch it before it expires"
    ),
    MissCause.REVOKED: Remedy(
        "its publisher or the operator revoked this version", "use the current version"
    ),
    MissCause.NOT_GRANTED: Remedy(
        "the caller's grant for the document has ended or is used up", "ask its publisher for another grant"
    ),
    MissCause.BOUNDARY_MERGE: Remedy(
        "the texts agree, and the tokenizer joined the last characters of one with those that follow",
        "end the common text with a line end, and begin what follows on a line of its own",
    ),
    MissCause.FINGERPRINT: Remedy(
        "kept pages failed their check, or belong to another model, precision or set of kernels",
        "nothing: they are computed anew; run `kvproxy doctor` where it happens again",
    ),
    MissCause.TOO_SHORT: Remedy(
        "the common beginning is shorter than a page of 256 tokens",
        "nothing: so little is not worth keeping; put longer common text in front, or mark the prefix's end",
    ),
    MissCause.NO_DOCUMENT: Remedy(
        "nothing that begins in a similar way is known",
        "nothing, if it was the first request of its kind; publish the text that many requests will begin with",
    ),
    MissCause.QUARANTINED: Remedy(
        "an audit found that the document's kept pages differ from a prefill",
        "publish it again, or run `kvproxy verify`; quarantine ends once a check passes",
    ),
    MissCause.ASKED_COLD: Remedy(
        "the request asked for a prefill from scratch: `kv_reuse: none`, or the header `x-kvproxy-reuse: none`",
        "leave the field and the header out",
    ),
    MissCause.ENGINE_FAILED: Remedy(
        "the hit failed before its first token, and was answered by a prefill",
        "look at the server's log",
    ),
    MissCause.NOT_ON_REPLICA: Remedy(
        "the replica of the fleet that answered never held the prompt's beginning",
        "nothing, where it is the first reader there; raise the fleet's copies for a document that many read",
    ),
    MissCause.OTHER_SALT: Remedy(
        "the replica holds the same tokens under another cache salt: this request has one of its own, keeps nothing, "
        "or has a private document too",
        "ask without `cache_salt` and with retention, of private documents by themselves; publish the document as "
        "public, where its readers may share",
    ),
    MissCause.ROUNDED_TO_BLOCK: Remedy(
        "all whole blocks were there; the rest of the document, less than a block, was computed",
        "start the replicas with a smaller --block-size, where that rest matters",
    ),
    MissCause.SPILLED_FOR_LOAD: Remedy(
        "the replicas that hold the prompt's beginning had too much to do, and another one computed it",
        "add replicas, or raise the fleet's bounded_load",
    ),
    MissCause.UNKNOWN: Remedy(
        "no cause was recognised, or the comparison was not made in time",
        "`kvproxy explain REQUEST.json --previous` shows the first difference itself",
    ),
}
"""By cause; every cause has an entry."""
