from __future__ import annotations

from kvproxy.receipts.reader_pseudonyms import ReaderPseudonyms
from kvproxy.receipts.receipt_claims import receipt_claims, request_commitment
from tests.receipts.booked_reads import AT, read_of

NAMES = ReaderPseudonyms(b"s" * 32)


def test_a_receipt_says_what_was_read_and_what_it_cost() -> None:
    booked = read_of(1)
    claims = receipt_claims(booked, 0, host="kv.example", names=NAMES)
    assert claims["document"] == "handbook-acme@3" and claims["sha256"] == f"{1:064x}"
    assert (claims["tokens"], claims["model"], claims["fingerprint"]) == (
        3584,
        "smollm2-135m",
        "fingerprint-1",
    )
    assert (claims["price"], claims["publisher_share"], claims["host_share"]) == (
        "0.000500001",
        "0.00025",
        "0.000250001",
    )
    assert claims["iat"] == AT + 600 and claims["iss"] == "kv.example"
    assert receipt_claims(booked, 0, host="kv.example", names=NAMES) == claims


def test_the_reader_recognises_its_request_and_nobody_else_does() -> None:
    booked = read_of(1)
    claims = receipt_claims(booked, 0, host="kv.example", names=NAMES)
    assert claims["request"] == request_commitment(booked.request_id, "acme")
    assert booked.request_id not in str(claims) and booked.reader not in str(claims)


def test_two_publishers_of_one_request_share_nothing_that_joins_them() -> None:
    first, second = (receipt_claims(read_of(1, "acme", "zeta"), i, host="h", names=NAMES) for i in (0, 1))
    for name in ("id", "request", "reader"):
        assert first[name] != second[name]


def test_a_refund_names_the_receipt_that_it_takes_back() -> None:
    booked = read_of(1)
    claims = receipt_claims(booked, 0, host="h", names=NAMES)
    back = receipt_claims(read_of(1, refunds=booked.request_id), 0, host="h", names=NAMES)
    assert back["refunds"] == claims["id"] != back["id"] and back["request"] == claims["request"]
    assert back["price"] == "-" + claims["price"]
