"""Bodies that publish a document, and the views and verifications of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from kvproxy.core import Visibility
from kvproxy.core.document_quota import QuotaUse
from kvproxy.core.fleet_comparison import FleetComparison
from kvproxy.core.replica_choice import ReplicaResidency
from kvproxy.documents.library.document import ID_PATTERN
from kvproxy.documents.library.document_info import (
    DocumentInfo,
    FramingInfo,
    ModelFramings,
    Published,
    SpellingInfo,
    Verification,
)
from kvproxy.documents.library.withdrawn_documents import Withdrawal
from kvproxy.wire.kv_documents.document_types import (
    AgreementBody,
    DocumentBody,
    FramingBody,
    KvDocument,
    KvPublished,
    KvVerification,
    ModelFramingsBody,
    PublishResult,
    ReplicaBody,
    SpellingBody,
    VerificationBody,
)
from kvproxy.wire.kv_documents.price_bodies import MOST_LICENCE, PriceBody

MOST_TTL_S = 100 * 366 * 86_400
"""Seconds to a version's end: a century."""


def _whole(value: object) -> object:
    """Return 60 for 60.0, which JSON Schema calls an integer too; any other value is left to be refused."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class PublishBody(BaseModel):
    """The body that publishes a document.

    An unknown field is refused: a misspelt ``visibility`` must not publish to all callers.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    id: str = Field(
        min_length=1,
        description="1 to 128 letters, digits and . _ - /, the first a letter or digit; nothing between slashes is "
        "empty, '.' or '..'.",
        json_schema_extra={"pattern": ID_PATTERN},
    )
    text: str = Field(
        description="The whole text. The one of the current version changes nothing; another is a new version.",
        json_schema_extra={"pattern": r"\S"},
    )
    visibility: Visibility | None = Field(
        default=None,
        description="public: for all. granted: for those whom a grant lets in, by reference. private: for this tenant "
        "alone. Default: that of the version before, else the configured one.",
    )
    pinned: bool | None = Field(
        default=None,
        description="Keep its KV in memory, even when other prompts need room. Default: as the version before it. "
        "Documents may pin half of the page budget together.",
    )
    ttl_s: Annotated[int, Field(ge=1, le=MOST_TTL_S), BeforeValidator(_whole)] | None = Field(
        default=None,
        description="Seconds from now from which it is not served any more. Default: as it is; a new version never "
        "ends.",
    )
    price: PriceBody | None = Field(
        default=None, description="What a read costs, from now on. Default: as before; at first nothing."
    )
    licence: str | None = Field(
        default=None,
        max_length=MOST_LICENCE,
        description="What readers may do with the answers, in a few words, for the catalog. Goes with a price.",
    )


def document_body(info: DocumentInfo, *, names: bool = False) -> DocumentBody:
    """Return the view of a document; ``names``: with those of a fleet's replicas, for administrators.

    Example: ``document_body(info, names="admin" in caller.permissions)``
    """
    return {
        "id": info.id,
        "version": info.version,
        "current": info.current,
        "etag": info.etag,
        "visibility": info.visibility,
        "characters": info.characters,
        "tokens": info.tokens,
        "created": info.created,
        "framings": [_framing_body(f, names=names) for f in info.framings],
        "quarantined": info.quarantined,
        "pinned": info.pinned,
        "origin": info.origin,
        "reads": info.reads,
        "saved_tokens": info.saved_tokens,
        "last_read": info.last_read,
        "expires": info.expires,
        "aliases": list(info.aliases),
        "spellings": [_spelling_body(s) for s in info.spellings],
    }


def models_body(models: Sequence[ModelFramings], *, names: bool = False) -> list[ModelFramingsBody]:
    """Return a document's framings under further models. ``names`` as of ``document_body``.

    Example: ``models_body(framings_elsewhere(models, ref, caller), names=True)``
    """
    return [
        {
            "model": one.model,
            "tokens": one.tokens,
            "framings": [_framing_body(f, names=names) for f in one.framings],
        }
        for one in models
    ]


def _framing_body(f: FramingInfo, *, names: bool) -> FramingBody:
    return {
        "name": f.name,
        "tokens": f.tokens,
        "resident_tokens": f.resident_tokens,
        "bytes": f.bytes,
        "tiers": {
            "memory": f.tiers.memory,
            "disk": f.tiers.disk,
            "objects": f.tiers.objects,
        },
        "load_ms": round(1000 * f.load_s, 1),
        "compute_ms": round(1000 * f.compute_s, 1),
        "replicas": [_replica_body(held, names=names) for held in f.replicas],
    }


def _replica_body(held: ReplicaResidency, *, names: bool) -> ReplicaBody:
    return {
        "replica": held.replica if names else None,
        "tokens": held.tokens,
        "tier": held.tier,
        "since": held.since,
    }


def _spelling_body(spelling: SpellingInfo) -> SpellingBody:
    return {
        "name": spelling.name,
        "characters": spelling.characters,
        "tokens": spelling.tokens,
        "leading": spelling.leading,
        "sha256": spelling.sha256,
    }


def kv_document(info: DocumentInfo, *, names: bool = False) -> KvDocument:
    """Return the view of a document as an object of the HTTP API, without its text. ``names`` as of ``document_body``.

    Example: ``kv_document(info, names="admin" in caller.permissions)``
    """
    document: KvDocument = {"object": "kv_document", **document_body(info, names=names)}  # type: ignore[typeddict-item]  # mypy takes ``text``, which is not required, for missing
    return document


def kv_usage(use: QuotaUse, withdrawn: Sequence[Withdrawal]) -> KvPublished:
    """Return what a tenant has published, beside its quota, with its versions that are not served any more.

    Example:
        ``kv_usage(publisher.quotas.use(caller), publisher.endings.withdrawn(caller))``
    """
    quota = use.quota
    return {
        "versions": use.versions,
        "bytes": use.bytes,
        "tokens": use.tokens,
        "quota": {"versions": quota.versions, "bytes": quota.bytes, "tokens": quota.tokens},
        "withdrawn": [
            {"document": str(w.document.ref), "ending": w.ending, "reason": w.reason} for w in withdrawn
        ],
    }


def publish_result(published: Published) -> PublishResult:
    """Return the result of publishing a document."""
    return {
        "info": document_body(published.info),
        "created": published.created,
        "prefill_s": published.prefill_s,
        "computed_tokens": published.computed,
        "reused_tokens": published.reused,
    }


def verification_body(verification: Verification, *, names: bool = False) -> VerificationBody:
    """Return the comparison of one framing. ``names`` as of ``document_body``."""
    agreement = verification.agreement
    return {
        "document": verification.document,
        "framing": verification.framing,
        "exact": verification.exact,
        "note": verification.note,
        "cached_tokens": verification.cached_tokens,
        "pages": verification.pages,
        "equal_pages": verification.equal_pages,
        "positions": verification.positions,
        "equal_positions": verification.equal_positions,
        "equal_argmax": verification.equal_argmax,
        "largest_difference": verification.largest_difference,
        "greedy_tokens": verification.greedy_tokens,
        "equal_greedy": verification.equal_greedy,
        "first_difference": verification.first_difference,
        "agreement": None if agreement is None else _agreement_body(agreement, names=names),
    }


def _agreement_body(compared: FleetComparison, *, names: bool) -> AgreementBody:
    return {
        "replica": compared.replica if names else None,
        "agrees": compared.counts and compared.agreed,
        "prompt_tokens": compared.prompt_tokens,
        "cold_cached_tokens": compared.cold_cached_tokens,
        "cold_read": "skip-reading" if compared.forced else "random-salt",
        "positions": compared.positions,
    }


def kv_verification(verifications: Sequence[Verification], *, names: bool = False) -> KvVerification:
    """Return the comparisons of a document. ``names`` as of ``document_body``.

    Example: ``kv_verification(await verifier.verify(ref, caller), names="admin" in caller.permissions)``
    """
    data = [verification_body(v, names=names) for v in verifications]
    agreements = [body["agreement"] for body in data]
    fleet = any(agreement is not None for agreement in agreements)
    return {
        "object": "kv_verification",
        "exact": bool(verifications) and all(v.exact for v in verifications),
        "agrees": all(agreement is not None and agreement["agrees"] for agreement in agreements)
        if fleet
        else None,
        "data": data,
    }
