"""``kvproxy tariff``: a file as the server reads it, and what is recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kvproxy.cli.app import app
from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.tariffs import ModelPrices, Tariff
from kvproxy.tariffs.recorded_tariffs import Tariffs
from kvproxy.tariffs.tariff_file import read_tariff_file

EXAMPLE = Path(__file__).parents[2] / "examples" / "tariff.yaml"


def call(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with Database.open(None, tmp_path / "store") as database:
        METADATA.create_all(database.engine)
    return tmp_path / "store"


def a_config(folder: Path, tariff: Path) -> Path:
    config = folder / "config.yaml"
    upstreams = "upstreams:\n  - {name: mini, params: {model: openai/gpt-4o-mini}}\n"
    config.write_text(f"tariff: {tariff}\nstore: {{path: {folder / 'store'}}}\n{upstreams}")
    return config


def test_the_example_is_shown() -> None:
    status, out, _ = call("tariff", "check", EXAMPLE)
    assert status == 0
    assert "from 2026-01-01T00:00:00Z: USD for a million tokens" in out
    assert "0.05" in out and "all others" in out
    assert "documents: 30% of what a read saves, 80% of it the publisher's" in out
    assert out.endswith("tariff.yaml is right: 2 entries, in USD\n")


def test_faults_are_one_line_with_their_place(tmp_path: Path) -> None:
    wrong = tmp_path / "tariff.yaml"
    wrong.write_text(EXAMPLE.read_text().replace('"0.05"', '"9"'))
    status, out, err = call("tariff", "check", wrong)
    line = (
        EXAMPLE.read_text()
        .splitlines()
        .index('        cached_input: "0.05"      # default: a tenth of input')
    )
    assert (status, out) == (2, "")
    assert f"tariff.yaml, line {line + 1}: cached_input is above input" in err


def test_prices_of_upstreams_come_from_the_config(tmp_path: Path) -> None:
    status, out, _ = call("tariff", "check", "--config", a_config(tmp_path, EXAMPLE), "--json")
    assert status == 0
    mini = json.loads(out)["tariffs"][0]["models"]["mini"]
    own = read_tariff_file(EXAMPLE).entries[0].tariff
    assert mini["input"] > 0 and "mini" not in own.models


def test_an_upstream_without_a_price_is_named(tmp_path: Path) -> None:
    lean = tmp_path / "tariff.yaml"
    lean.write_text(
        "currency: USD\ntariffs:\n  - valid_from: 2026-12-01\n    models: {m: {input: 1, output: 1}}\n"
    )
    status, out, _ = call("tariff", "check", "--config", a_config(tmp_path, lean))
    assert status == 0
    assert "upstream mini (openai/gpt-4o-mini) has no price in the entries of lines 3" in out


def test_a_change_of_the_past_is_refused_before_a_server_does(tmp_path: Path, store: Path) -> None:
    old = tmp_path / "old.yaml"
    old.write_text(EXAMPLE.read_text().replace("2026-01-01", "2020-01-01"))
    config = a_config(tmp_path, old)
    assert call("tariff", "check", "--config", config)[0] == 0
    with Database.open(None, store) as database:
        Tariffs(database).record_file(read_tariff_file(old))
    assert call("tariff", "check", "--config", config, old)[0] == 0
    old.write_text(old.read_text().replace('input: "0.50"', 'input: "0.51"'))
    status, _, err = call("tariff", "check", "--config", config)
    assert status == 2 and "begins in the past" in err


def test_what_is_recorded_is_shown(tmp_path: Path, store: Path) -> None:
    assert "no tariff is recorded yet" in call("tariff", "show", "--store", store)[1]
    assert "no tariff is recorded yet" in call("tariff", "show", "--store", tmp_path / "none")[1]
    assert not (tmp_path / "none").exists(), "showing makes nothing"
    with Database.open(None, store) as database:
        for begins in (1000, 4 * 10**12):
            Tariffs(database).record(
                Tariff.of("USD", begins, {"m": ModelPrices(input=begins, output=0)}), now_ms=0
            )
    status, out, _ = call("tariff", "show", "--store", store)
    assert status == 0 and "from 1970-01-01T00:00:01Z, valid now" in out and out.count("valid now") == 1
    told = json.loads(call("tariff", "show", "--store", store, "--json")[1])["tariffs"]
    assert [one["models"]["m"]["input"] for one in told] == [1000, 4 * 10**12]


def test_without_a_file_it_says_what_to_name() -> None:
    status, _, err = call("tariff", "check")
    assert status == 2 and "name a tariff file" in err
