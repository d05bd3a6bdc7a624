"""Types of the answers of ``/kv/v1/documents``."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

from kvproxy.core import Visibility
from kvproxy.core.replica_choice import ReplicaTier
from kvproxy.wire.service.service_types import OpenAIError


class TiersBody(TypedDict):
    """Tokens by the nearest tier that has their pages."""

    memory: int
    disk: int
    objects: int


class ReplicaBody(TypedDict):
    """The part of a framing that one replica of a fleet holds, in whole blocks from its beginning.

    ``replica`` is its name, for callers with the scope `admin`, and null for others. ``tier`` is the nearest medium
    that has all of it. ``since``: Unix seconds; null where no event of the replica told it.
    """

    replica: str | None
    tokens: int
    tier: ReplicaTier
    since: float | None


class FramingBody(TypedDict):
    """A place where the document was prefilled ahead of time.

    ``tokens`` counts to its end; ``resident_tokens`` of them are kept now, in ``bytes``; ``tiers`` has them by the
    nearest place that has them: ``memory``, ``disk``, or ``objects``, the object store. Behind a colon in its name
    stands the spelling, unless it is the published one. ``load_ms`` and ``compute_ms`` are the estimated times of
    either way to have it again once it is out of memory, from speeds measured on this machine; requests take the
    cheaper way. Of a fleet, ``replicas`` has those that hold something of it, ``resident_tokens`` is the most that one
    of them holds, and nothing is known of bytes and tiers; for an engine of this process ``replicas`` is empty.
    """

    name: str
    tokens: int
    resident_tokens: int
    bytes: int
    tiers: TiersBody
    load_ms: float
    compute_ms: float
    replicas: list[ReplicaBody]


class SpellingBody(TypedDict):
    """A variant of the document's text that programs send, and in which it is recognised.

    Its name is ``published``, or the change to the text: ``no-bom`` or ``stripped`` (at its front), ``lf`` (its line
    ends), ``stripped+lf``. ``leading`` is the white space before it; the other fields are of the text without white
    space around it.
    """

    name: str
    characters: int
    tokens: int
    leading: str
    sha256: str


class DocumentBody(TypedDict):
    """One version of a document.

    ``etag`` is the sha256 of the text, ``tokens`` those of the text alone. ``quarantined`` is the reason why its kept
    pages are not used, so that each reader is a miss; null while they are. ``pinned``: they stay in memory; on a fleet
    never more than ``best effort``. ``origin`` is ``learned`` for a text that this tenant's requests kept beginning
    with. ``reads`` are those from kept pages, which did not compute ``saved_tokens``; ``last_read`` is null before the
    first.
    From ``expires`` on, in Unix seconds, it is not served any more; null: never. ``aliases`` are names that mean this
    version, as ``stable`` in ``handbook@stable``.
    """

    id: str
    version: int
    current: bool
    etag: str
    visibility: Visibility
    characters: int
    tokens: int
    created: int
    framings: list[FramingBody]
    quarantined: str | None
    pinned: bool | Literal["best effort"]
    origin: Literal["published", "learned", "imported"]
    reads: int
    saved_tokens: int
    last_read: int | None
    expires: int | None
    aliases: list[str]
    spellings: list[SpellingBody]


class ModelFramingsBody(TypedDict):
    """The document as another served model reads it, in that model's tokens."""

    model: str
    tokens: int
    framings: list[FramingBody]


class KvDocument(DocumentBody):
    """A document. ``text`` is there where the request asked for it; ``models`` in the answer about one document, with
    the served models besides the one whose ``tokens`` and ``framings`` are those of the document itself."""

    object: Literal["kv_document"]
    text: NotRequired[str]
    models: NotRequired[list[ModelFramingsBody]]


class QuotaBody(TypedDict):
    """The most that a tenant may have published at once; null: no limit."""

    versions: int | None
    bytes: int | None
    tokens: int | None


class WithdrawnBody(TypedDict):
    """A version of the caller's own that is not served any more, and is not deleted yet."""

    document: str
    ending: Literal["revoked", "expired"]
    reason: str


class KvPublished(TypedDict):
    """The caller's published documents, summed. ``bytes`` are those of its KV over all framings, ``tokens`` those of
    the texts alone."""

    versions: int
    bytes: int
    tokens: int
    quota: QuotaBody
    withdrawn: list[WithdrawnBody]


class KvDocumentList(TypedDict):
    """A list of documents, and what the caller's own take."""

    object: Literal["list"]
    data: list[KvDocument]
    usage: KvPublished
    has_more: NotRequired[bool]
    """With a ``limit``: whether there are further ids."""
    next: NotRequired[str | None]
    """With a ``limit``: the ``after`` of the next part; null at the end."""


class KvDocumentDeleted(TypedDict):
    """The confirmation that a document is deleted."""

    id: str
    object: Literal["kv_document.deleted"]
    deleted: Literal[True]


class PublishResult(TypedDict):
    """The result of publishing. ``created`` is false when the current version had this text already.

    ``computed_tokens`` were prefilled, over all framings and spellings; the pages of ``reused_tokens`` were there, as
    those of the version before it up to the first change are.
    """

    info: DocumentBody
    created: bool
    prefill_s: float
    computed_tokens: int
    reused_tokens: int


class PublishProgress(TypedDict):
    """Tokens over all framings and spellings."""

    done: int
    total: int
    tokens_per_s: float


class VerifyProgress(TypedDict):
    """Tokens computed so far, of an estimated total."""

    done: int
    total: int
    tokens_per_s: float


PublishEvent = PublishProgress | PublishResult | OpenAIError
"""Of the events ``progress``, ``result`` and ``error``."""


class AgreementBody(TypedDict):
    """Two greedy answers of one replica of a fleet: from cached blocks, and with its whole prompt computed.

    ``agrees``: all greedy tokens are the same. ``cold_read``: the way to keep the second answer from cached blocks, the
    engine's own switch or a salt that nothing is cached under; ``cold_cached_tokens`` is 0 where it worked. Logprobs
    were compared at ``positions``. ``replica``: null for callers without the scope `admin`.
    """

    replica: str | None
    agrees: bool
    prompt_tokens: int
    cold_cached_tokens: int
    cold_read: Literal["skip-reading", "random-salt"]
    positions: int


class VerificationBody(TypedDict):
    """Comparison of hits, cut at every page, with a prefill from scratch.

    ``positions``: all of document, question and answer; at ``equal_positions`` of them every logit has the same bits.
    ``pages``: kept pages beside recomputed ones. ``largest_difference`` of any logit: null where nothing could be
    compared (``note`` says why) or where there is no such number. ``first_difference``: the first position whose kept
    key or value differs.

    Of a fleet nothing is ever ``exact``: ``agreement`` tells which answers were compared, ``equal_greedy`` of
    ``greedy_tokens`` are the same, and ``largest_difference`` is that of the logprobs of those tokens. Pages and
    positions are 0 then, and ``agreement`` is null for an engine of this process.
    """

    document: str
    framing: str
    exact: bool
    note: str
    cached_tokens: int
    pages: int
    equal_pages: int
    positions: int
    equal_positions: int
    equal_argmax: int
    largest_difference: float | None
    greedy_tokens: int
    equal_greedy: int
    first_difference: int | None
    agreement: AgreementBody | None


class KvVerification(TypedDict):
    """The comparisons of a document; ``exact`` where there are some and all are exact. ``agrees``: of a fleet, whether
    all greedy tokens of all comparisons are the same; null for an engine of this process."""

    object: Literal["kv_verification"]
    exact: bool
    agrees: bool | None
    data: list[VerificationBody]


VerifyEvent = VerifyProgress | KvVerification | OpenAIError
"""Of the events ``progress``, ``result`` and ``error``."""
