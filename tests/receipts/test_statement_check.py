from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvproxy.core import parse_nano
from kvproxy.receipts.canonical_jws import canonical
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.receipts.merkle_tree import EMPTY_ROOT, RightEdge
from kvproxy.receipts.reader_pseudonyms import ReaderPseudonyms
from kvproxy.receipts.receipt_claims import RECEIPT_TYP, receipt_claims
from kvproxy.receipts.statement_check import StatementCheck, check_statements
from kvproxy.receipts.statement_claims import (
    STATEMENT_TYP,
    ListedReceipt,
    LogRoot,
    StatementScope,
    receipt_leaf,
    statement_claims,
)
from tests.receipts.booked_reads import AT, read_of


@dataclass
class Log:
    """A host's log of one publisher, whose statements a test can falsify before they are signed."""

    keys: HostKeys
    claims: list[dict[str, Any]]

    @property
    def receipts(self) -> list[str]:
        return [self.keys.sign(claims, RECEIPT_TYP) for claims in self.claims]

    def listed(self, claims: dict[str, Any]) -> ListedReceipt:
        shares = parse_nano(claims["price"]), parse_nano(claims["publisher_share"])
        return ListedReceipt(claims["id"], receipt_leaf(claims), claims["tokens"], *shares)

    def statement(
        self,
        first: int,
        size: int,
        claims: Sequence[dict[str, Any]] | None = None,
        more: dict[str, Any] | None = None,
    ) -> str:
        """Sign a statement of the reads from ``first`` to ``size``, of the log as ``claims`` falsify it."""
        told = [self.listed(one) for one in (self.claims if claims is None else claims)]
        before = RightEdge().grown(one.leaf for one in told[:first])
        scope = StatementScope("kv.example", "acme", AT + 600 * first, AT + 600 * size, "USD")
        said = statement_claims(scope, before, told[first:size], LogRoot(9, EMPTY_ROOT), AT + 600 * size + 90)
        return self.keys.sign(said | (more or {}), STATEMENT_TYP)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    keys = HostKeys.open(tmp_path)
    names = ReaderPseudonyms(keys.pseudonym_secret)
    claims = [receipt_claims(read_of(n), 0, host="kv.example", names=names) for n in range(9)]
    return Log(keys, [one | {"iat": one["iat"] + 120} for one in claims])


def faults(check: StatementCheck) -> list[tuple[str, str]]:
    return [(fault.kind, fault.what) for fault in check.faults]


def test_a_sound_statement_and_its_total(log: Log) -> None:
    check = check_statements([log.statement(0, 9)], log.receipts, log.keys.jwks())
    assert faults(check) == [] and (check.reads, check.matched) == (9, 9)
    assert check.publisher_nano == sum(parse_nano(c["publisher_share"]) for c in log.claims) == 9 * 250_000


def test_one_removed_one_changed_and_one_added_are_each_named(log: Log) -> None:
    """The host signs a statement that is not what its receipts say."""
    claims = list(log.claims)
    added = claims[4] | {"id": "rcpt_invented"}
    claims[2] = claims[2] | {"publisher_share": "0.0000001"}
    falsified = [*claims[:6], *claims[7:], added]
    check = check_statements([log.statement(0, 9, falsified)], log.receipts, log.keys.jwks())
    assert sorted(faults(check)) == [
        ("added", "rcpt_invented"),
        ("changed", log.claims[2]["id"]),
        ("removed", log.claims[6]["id"]),
    ]
    for fault in check.faults:
        assert fault.what in fault.message


def test_a_statement_changed_after_it_was_signed_is_refused_and_what_changed_is_named(log: Log) -> None:
    head, _, signature = log.statement(0, 9).split(".")
    said = check_statements([log.statement(0, 9)], [], log.keys.jwks()).faults
    assert {fault.kind for fault in said} == {"added"}
    whole = log.statement(0, 9, [c for n, c in enumerate(log.claims) if n != 6])
    payload = whole.split(".")[1]
    check = check_statements([f"{head}.{payload}.{signature}"], log.receipts, log.keys.jwks())
    assert {kind for kind, _ in faults(check)} >= {"signature", "removed"}
    assert ("removed", log.claims[6]["id"]) in faults(check)


def test_a_receipt_that_was_changed_is_named(log: Log) -> None:
    receipts = log.receipts
    head, _, signature = receipts[3].split(".")
    dearer = log.keys.sign(log.claims[3] | {"publisher_share": "1"}, RECEIPT_TYP).split(".")[1]
    receipts[3] = f"{head}.{dearer}.{signature}"
    check = check_statements([log.statement(0, 9)], receipts, log.keys.jwks())
    assert faults(check) == [("changed", log.claims[3]["id"])]


def test_a_reader_proves_with_its_own_receipt_that_a_read_is_missing(log: Log) -> None:
    own = [log.receipts[6]]
    short = log.statement(0, 9, [c for n, c in enumerate(log.claims) if n != 6])
    assert faults(check_statements([log.statement(0, 9)], own, log.keys.jwks(), complete=False)) == []
    check = check_statements([short], own, log.keys.jwks(), complete=False)
    assert faults(check) == [("removed", log.claims[6]["id"])]


def test_statements_chain_and_a_rewritten_past_does_not(log: Log) -> None:
    one, two = log.statement(0, 5), log.statement(5, 9)
    assert faults(check_statements([one, two], log.receipts, log.keys.jwks())) == []
    assert faults(check_statements([two, log.statement(0, 9), one], log.receipts, log.keys.jwks())) == []
    rewritten = [log.claims[0] | {"tokens": 1}, *log.claims[1:]]
    kinds = [
        k
        for k, _ in faults(
            check_statements([one, log.statement(5, 9, rewritten)], log.receipts, log.keys.jwks())
        )
    ]
    assert kinds == ["chain"]
    gap = log.statement(6, 9, more={"from": AT + 600 * 5})
    assert ("chain", "statement 2") in faults(check_statements([one, gap], log.receipts, log.keys.jwks()))


def test_wrong_roots_totals_and_logs_are_found(log: Log) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        ("root", {"root": "0" * 64}),
        ("root", {"root_before": "0" * 64}),
        ("total", {"publisher_share": "1"}),
        ("total", {"tokens": 1}),
        ("signature", {"receipts": "none"}),
        ("signature", {"edge": ["zz"]}),
        ("signature", {"price": 1.5}),
    ]
    for kind, change in cases:
        check = check_statements([log.statement(0, 9, more=change)], log.receipts, log.keys.jwks())
        assert kind in {k for k, _ in faults(check)}, change
    forked = log.statement(0, 9, more={"log": {"size": 9, "root": "0" * 64}})
    check = check_statements([log.statement(0, 9), forked], log.receipts, log.keys.jwks())
    assert faults(check) == [("log", "statement 2")]


def test_another_hosts_receipts_and_other_periods_prove_nothing(log: Log, tmp_path: Path) -> None:
    other = replace(log, keys=HostKeys.open(tmp_path / "other"))
    check = check_statements([log.statement(0, 9)], other.receipts, log.keys.jwks(), complete=False)
    assert {kind for kind, _ in faults(check)} == {"changed"}
    check = check_statements([log.statement(0, 3)], log.receipts, log.keys.jwks())
    assert faults(check) == [] and check.matched == 3
    foreign = [log.keys.sign(log.claims[1] | {"publisher": "zeta", "id": "rcpt_z"}, RECEIPT_TYP)]
    assert faults(check_statements([log.statement(0, 3)], foreign, log.keys.jwks(), complete=False)) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.data())
def test_any_removed_changed_and_added_reads_are_named_exactly(log: Log, data: st.DataObject) -> None:
    places = st.sets(st.integers(0, 8))
    removed = data.draw(places)
    changed = data.draw(places) - removed
    added = data.draw(st.integers(0, 2))
    told = [c | {"tokens": 7} if n in changed else c for n, c in enumerate(log.claims) if n not in removed]
    told += [log.claims[0] | {"id": f"rcpt_{n}"} for n in range(added)]
    size = len(told)
    statement = log.statement(0, size, told, {"from": AT, "to": AT + 6000})
    found = faults(check_statements([statement], log.receipts, log.keys.jwks()))
    assert sorted(found) == sorted(
        [("removed", log.claims[n]["id"]) for n in removed]
        + [("changed", log.claims[n]["id"]) for n in changed]
        + [("added", f"rcpt_{n}") for n in range(added)]
    )


def test_canonical_payload_is_what_is_hashed(log: Log) -> None:
    assert canonical(log.claims[0]).startswith(b'{"by_reference":false,"currency":"USD"')
