from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from kvproxy.core.pages import Residency
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
    publish_result,
    verification_body,
)
from kvproxy.wire.kv_documents.document_types import KvDocument, PublishResult, VerificationBody

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
    return {**found, "load_ms": load_ms, "compute_ms": compute_ms}


def test_it_has_the_types_that_are_described() -> None:
    TypeAdapter(KvDocument).validate_python(kv_document(INFO), strict=True)
    TypeAdapter(PublishResult).validate_python(publish_result(Published(INFO, False, 0.0)), strict=True)
    body = verification_body(Verification("x@1", "system", False, "too long"))
    TypeAdapter(VerificationBody).validate_python(body, strict=True)


def test_a_misspelt_visibility_publishes_nothing() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        PublishBody.model_validate({"id": "x", "text": "y", "visiblity": "private"})
