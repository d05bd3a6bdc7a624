from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from kvproxy.core.fleet_comparison import FleetComparison
from kvproxy.core.pages import Residency
from kvproxy.core.replica_choice import ReplicaResidency
from kvproxy.documents.library.document_info import (
    DocumentInfo,
    FramingInfo,
    Published,
    SpellingInfo,
    Verification,
)
from kvproxy.wire.kv_documents.document_bodies import (
    PublishBody,
    kv_document,
    kv_verification,
    publish_result,
    verification_body,
)
from kvproxy.wire.kv_documents.document_types import (
    KvDocument,
    KvVerification,
    PublishResult,
    VerificationBody,
)

INFO = DocumentInfo(
    "law/x",
    3,
    True,
    "e" * 64,
    "private",
    7,
    4,
    1_700_000_000,
    (
        FramingInfo("system", 9, 8, 72, Residency(8)),
        FramingInfo("system:lf", 8, 8, 64, Residency(8)),
    ),
    expires=1_800_000_000,
    aliases=("stable",),
    spellings=(SpellingInfo("published", 7, 4, "\n", "d" * 64), SpellingInfo("lf", 6, 3, "", "c" * 64)),
)


def test_every_field_of_a_view_is_written() -> None:
    plain = {**asdict(INFO), "framings": [_framing(f) for f in INFO.framings], "aliases": list(INFO.aliases)}
    plain["spellings"] = [asdict(s) for s in INFO.spellings]
    assert kv_document(INFO) == {"object": "kv_document", **plain}
    assert publish_result(Published(INFO, True, 0.5, computed=256, reused=512)) == {
        "info": plain,
        "created": True,
        "prefill_s": 0.5,
        "computed_tokens": 256,
        "reused_tokens": 512,
    }
    verification = Verification("law/x@3", "system", True, "", 8, 1, 1, 12, 12, 12, 0.0, 3, 3)
    assert verification_body(verification) == asdict(verification)


def _framing(framing: FramingInfo) -> dict[str, Any]:
    found = asdict(framing)
    load_ms, compute_ms = found.pop("load_s") * 1000, found.pop("compute_s") * 1000
    return {**found, "load_ms": load_ms, "compute_ms": compute_ms, "replicas": list(found["replicas"])}


def test_replicas_are_named_to_administrators_alone() -> None:
    held = ReplicaResidency("10.0.0.7:8000", 896, "device", 1_800_000_000.0)
    info = replace(INFO, framings=(replace(INFO.framings[0], replicas=(held,)),), pinned="best effort")
    own, others = kv_document(info, names=True), kv_document(info)
    assert own["framings"][0]["replicas"] == [asdict(held)]
    assert others["framings"][0]["replicas"] == [{**asdict(held), "replica": None}]
    assert own["pinned"] == others["pinned"] == "best effort"
    TypeAdapter(KvDocument).validate_python(own, strict=True)
    TypeAdapter(KvDocument).validate_python(others, strict=True)


def test_a_fleet_agrees_and_is_never_exact() -> None:
    two = FleetComparison("10.0.0.7:8000", 1003, 896, 0, True, 24, 24, 24, 0.002)
    one = Verification("law/x@3", "system", False, "", 896, agreement=two)
    body = kv_verification([one], names=True)
    assert (body["exact"], body["agrees"]) == (False, True)
    assert body["data"][0]["agreement"] == {
        "replica": "10.0.0.7:8000",
        "agrees": True,
        "prompt_tokens": 1003,
        "cold_cached_tokens": 0,
        "cold_read": "skip-reading",
        "positions": 24,
    }
    TypeAdapter(KvVerification).validate_python(body, strict=True)
    hidden = kv_verification([one])["data"][0]["agreement"]
    assert hidden is not None and hidden["replica"] is None


@pytest.mark.parametrize(
    "two",
    [
        FleetComparison("a", 1003, 896, 0, False, 24, 23, 24, 0.1),
        FleetComparison("a", 1003, 0, 0, False, 24, 24, 24, 0.0),
        FleetComparison("a", 1003, 896, 128, False, 24, 24, 24, 0.0),
    ],
    ids=["another token", "no hit", "not cold"],
)
def test_what_shows_no_agreement_claims_none(two: FleetComparison) -> None:
    good = replace(two, cached_tokens=896, cold_cached_tokens=0, equal_tokens=24)
    found = [
        Verification("law/x@3", name, False, "", agreement=c) for name, c in (("system", good), ("user", two))
    ]
    assert kv_verification(found)["agrees"] is False


def test_a_comparison_that_was_not_possible_is_no_agreement() -> None:
    good = FleetComparison("a", 1003, 896, 0, False, 24, 24, 24, 0.0)
    found = [
        Verification("law/x@3", "system", False, "", agreement=good),
        Verification("law/x@3", "user", False, "no block of it is cached"),
    ]
    assert kv_verification(found)["agrees"] is False
    exact = Verification("law/x@3", "system", True, "")
    assert kv_verification([exact])["agrees"] is None


def test_it_has_the_types_that_are_described() -> None:
    TypeAdapter(KvDocument).validate_python(kv_document(INFO), strict=True)
    TypeAdapter(PublishResult).validate_python(publish_result(Published(INFO, False, 0.0)), strict=True)
    body = verification_body(Verification("x@1", "system", False, "too long"))
    TypeAdapter(VerificationBody).validate_python(body, strict=True)


def test_a_misspelt_visibility_publishes_nothing() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        PublishBody.model_validate({"id": "x", "text": "y", "visiblity": "private"})
