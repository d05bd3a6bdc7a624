"""``kvproxy economics``: the paper's figures, a document's, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kvproxy.cli.app import app
from tests.economics.cases import a_bench_paper
from tests.fake_proxy import running

TARIFF = """\
currency: USD
tariffs:
  - valid_from: 2020-01-01
    models: {tiny: {input: 2, output: 2, cached_input: 0.5}}
    documents: {price: 50%, publisher_share: 100%}
"""


def call(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["economics", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def lines(out: str) -> dict[str, Any]:
    return {
        line["name"]: line["value"] for section in json.loads(out)["sections"] for line in section["lines"]
    }


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    file = tmp_path / "paper.json"
    file.write_text(json.dumps(a_bench_paper(500, 1000)))
    return file


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """No market has been opened there."""
    return tmp_path / "store"


def test_the_papers_figures(tmp_path: Path) -> None:
    status, out, _ = call("--paper", "--json", "--plot", tmp_path / "p.svg")
    assert status == 0
    assert lines(out)["N cold reads"] == {"nano": 1509600 * 10**9, "amount": "1509600", "currency": "USD"}
    assert lines(out)["of the prefill it saves"] == pytest.approx(2.6, abs=0.03)
    assert (tmp_path / "p.svg").read_text().startswith("<?xml")
    assert "49.7x" in call("--paper")[1]
    assert call("--paper", "--markdown")[1].startswith("### Inputs\n")


def test_a_document_at_list_prices(measured: Path, store: Path) -> None:
    given = ("--measured", measured, "--store", store, "--json")
    status, out, _ = call("--readers", "10", *given, "--price", "4", "--egress", "0.1", "--hour", "3.6")
    assert status == 0
    found = lines(out)
    assert (found["tokens"], found["KV"], found["readers"]) == (1000, 256_000, 10)
    assert found["N cold reads, list price"]["amount"] == "0.04"
    assert found["egress of a read"]["amount"] == "0.0000256"
    assert found["N cold reads, machine"]["amount"] == "0.01"
    assert found["a read"]["amount"] == "0.0004"
    assert not store.exists(), "computing makes nothing"


def test_a_document_at_a_tariff(measured: Path, store: Path, tmp_path: Path) -> None:
    tariff = tmp_path / "tariff.yaml"
    tariff.write_text(TARIFF)
    given = ("--readers", "10", "--measured", measured, "--store", store, "--tariff", tariff, "--json")
    found = lines(call(*given, "--sold-as", "tiny")[1])
    assert (
        found["a read"]["amount"] == "0.00125" and found["publisher's share of a read"]["amount"] == "0.00075"
    )
    found = lines(call(*given, "--sold-as", "tiny", "--terms", "free")[1])
    assert found["a read"]["amount"] == "0.0005" and found["publisher's break-even"] is None
    status, _, err = call(*given)
    assert status == 2 and "no prices of 'smollm2-135m'; take --sold-as, one of: tiny" in err


def test_a_published_documents_tokens_are_asked_for(measured: Path, store: Path) -> None:
    with running() as proxy:
        CliRunner().invoke(app, ["publish", "-", "--id", "handbook", "--url", proxy.url], input="w " * 600)
        status, out, _ = call(
            "handbook",
            "--readers",
            "5",
            "--measured",
            measured,
            "--store",
            store,
            "--url",
            proxy.url,
            "--json",
        )
    assert (status, lines(out)["tokens"]) == (0, 600)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--readers", "1", "--price", "cheap"], "--price: 'cheap' is no amount"),
        (["--readers", "1", "--egress", "-1"], "--egress: the price is -1"),
        (["--readers", "1", "--terms", "dear"], "--terms: 'dear' is no price of a document"),
        (["--readers", "1", "--tokens", "2000"], "2,000 tokens were not measured, only 500 to 1,000"),
        (["--from-ledger"], "there is no ledger yet"),
        (["--paper", "--json", "--markdown"], "take one"),
    ],
)
def test_what_cannot_be_computed_is_refused(
    given: list[str], words: str, measured: Path, store: Path
) -> None:
    status, out, err = call(*given, "--measured", measured, "--store", store)
    assert (status, out) == (2, "") and words in err


def test_a_number_of_readers_is_needed() -> None:
    status, _, err = call()
    assert status == 2 and "--readers N, or --from-ledger, or --paper" in err


def test_a_measurement_that_is_none(tmp_path: Path, store: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    assert "is no JSON" in call("--readers", "1", "--measured", tmp_path / "x.json", "--store", store)[2]
