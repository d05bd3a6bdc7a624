"""The tariff file: what it says, and each fault with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvproxy.core import NANO
from kvproxy.errors import SetupError
from kvproxy.tariffs import DocumentTerms, ModelPrices
from kvproxy.tariffs.tariff_file import FileContext, format_time, parse_time, read_tariff_file

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "tariff.yaml"

GOOD = """\
currency: USD
tariffs:
  - valid_from: 2026-12-01
    models:
      m: {input: 0.50, output: "1.50"}
"""


def read(folder: Path, text: str, context: FileContext | None = None):  # type: ignore[no-untyped-def]  # a TariffFile
    file = folder / "tariff.yaml"
    file.write_text(text)
    return read_tariff_file(file, context)


def test_the_example_is_right() -> None:
    upstreams = {"mini": "openai/gpt-4o-mini", "qwen3-4b": "openai/gpt-4o"}
    found = read_tariff_file(EXAMPLE, FileContext("USD", upstreams=upstreams))
    first, second = (entry.tariff for entry in found.entries)
    assert first.prices("qwen3-4b") == ModelPrices(
        input=NANO // 2,
        cached_input=NANO // 20,
        output=3 * NANO // 2,
        publishing=NANO // 2,
        storage_mb_hour=20_000,
    ), "a listed model's own prices come before litellm's"
    assert first.prices("unheard-of") == ModelPrices(input=NANO, output=3 * NANO, publishing=NANO)
    mini = first.models["mini"]
    assert mini.input == second.models["mini"].input * 11 // 10 > 0
    assert first.documents == DocumentTerms(kind="share", share_ppm=300_000, publisher_ppm=800_000)
    assert first.valid_from_ms == parse_time("2026-01-01T00:00:00Z") < second.valid_from_ms


def test_a_number_without_quotes_is_exact_too(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD).entries[0].tariff.models["m"] == ModelPrices(
        input=NANO // 2, output=3 * NANO // 2, publishing=NANO // 2
    )


@pytest.mark.parametrize(
    ("was", "now", "words"),
    [
        ("currency: USD", "currency: usd", "line 1: currency: 'usd' is no currency"),
        ("currency: USD", "currency: EUR", "line 1: currency is EUR, and the host's is USD"),
        ("currency: USD\n", "", "line 1: 'currency' is missing"),
        ("2026-12-01", "soon", "line 3: valid_from: 'soon' is no time"),
        ("2026-12-01", "2026-12-01T10:00:00", "line 3: valid_from: '2026-12-01T10:00:00' has no zone"),
        ("2026-12-01", "1969-12-31", "line 3: valid_from: '1969-12-31' lies before 1970"),
        ("0.50", "-1", "line 5: input: the price is -1"),
        ("0.50", "1e-3", "line 5: input: '1e-3' is no amount"),
        ("0.50", "1000001", "line 5: input: the price is 1000001; a price is between 0 and 1000000"),
        ("0.50", "[1]", "line 5: input must be one text"),
        ('"1.50"', '"1.50", cached_input: 0.6', "line 5: cached_input is above input"),
        (
            'output: "1.50"',
            'ouput: "1.50"',
            "line 5: unknown name 'ouput' in the prices of m; did you mean 'out",
        ),
        (', output: "1.50"', "", "line 5: 'output' is missing"),
        ("    models:\n", "    models: 1\n    more:\n", "line 5: unknown name 'more' in an entry"),
        ("tariffs:", "tariff:", "line 2: unknown name 'tariff' in the tariff file; did you mean 'tariffs'"),
    ],
)
def test_a_fault_names_its_line(tmp_path: Path, was: str, now: str, words: str) -> None:
    assert was in GOOD
    with pytest.raises(SetupError, match=words):
        read(tmp_path, GOOD.replace(was, now), FileContext("USD"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("    upstreams: litelm\n", "line 6: upstreams can be 'litellm'"),
        ("    upstreams: {from: litellm, margin: 20}\n", "line 6: margin: '20' is no percentage"),
        ("    upstreams: {from: litellm, margin: 1001%}\n", "line 6: .* more than 1000%"),
        ("    documents: {price: 101%}\n", "line 6: price: '101%' is more than 100%"),
        ("    documents: {price: dear}\n", "line 6: price: 'dear' is no price of a document"),
        ("    documents: {publisher_share: 0.8}\n", "line 6: publisher_share: '0.8' is no percentage"),
        ("    documents: {text_readers: none}\n", "line 6: text_readers: 'none' is neither"),
        (
            "  - valid_from: 2026-12-01T00:00:00+00:00\n    default: {input: 1, output: 1}\n",
            "line 6: .* line 3",
        ),
        ("  - valid_from: 2027-12-01\n", "line 6: the entry has neither models nor a default"),
        ("  -\n", "line 6: an entry of tariffs must be a mapping"),
    ],
)
def test_a_fault_of_an_addition_names_its_line(tmp_path: Path, more: str, words: str) -> None:
    with pytest.raises(SetupError, match=words):
        read(tmp_path, GOOD + more)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    wrong = GOOD.replace("USD", "usd").replace("0.50", "x") + "      n: {input: y, output: 1}\n"
    with pytest.raises(SetupError) as raised:
        read(tmp_path, wrong)
    assert [f"line {n}:" in raised.value.message for n in (1, 5, 6)] == [True] * 3


def test_litellms_prices_need_its_currency(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="line 6: litellm's cost map is in USD, and this tariff in EUR"):
        read(tmp_path, GOOD.replace("USD", "EUR") + "    upstreams: litellm\n")


def test_an_entry_is_the_same_as_written_while_litellms_map_changes(tmp_path: Path) -> None:
    entries = []
    for price in ("1e-6", "2e-6"):
        cost_map = tmp_path / f"{price}.json"
        cost_map.write_text(
            json.dumps({"x": {"input_cost_per_token": float(price), "output_cost_per_token": 0}})
        )
        context = FileContext(upstreams={"up": "x"}, cost_map=cost_map)
        entries += read(tmp_path, GOOD + "    upstreams: litellm\n", context).entries
    one, other = entries
    assert one.written == other.written and one.tariff.id != other.tariff.id
    (edited,) = read(tmp_path, GOOD.replace("0.50", "0.51") + "    upstreams: litellm\n").entries
    assert edited.written != one.written
    (comment,) = read(tmp_path, "# new\n" + GOOD + "    upstreams: litellm\n").entries
    assert comment.written == one.written


def test_the_publishers_share_has_the_hosts_default(tmp_path: Path) -> None:
    context = FileContext(publisher_ppm=700_000)
    assert read(tmp_path, GOOD, context).entries[0].tariff.documents == DocumentTerms(publisher_ppm=700_000)
    (entry,) = read(tmp_path, GOOD + "    documents: {price: 0.002}\n", context).entries
    assert entry.tariff.documents == DocumentTerms(
        kind="fixed", nano_per_1000=2_000_000, publisher_ppm=700_000
    )


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot read the tariff"):
        read_tariff_file(tmp_path / "none.yaml")
    for text, words in (
        ("", "empty"),
        ("a: [", "not valid YAML"),
        ("currency: USD\n", "'tariffs' is missing"),
    ):
        with pytest.raises(SetupError, match=words):
            read(tmp_path, text)
    with pytest.raises(SetupError, match="no entry"):
        read(tmp_path, "currency: USD\ntariffs: []\n")
    (tmp_path / "b").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SetupError, match="utf-8"):
        read_tariff_file(tmp_path / "b")


def test_a_text_that_contains_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="leads back to itself"):
        read(tmp_path, GOOD.replace("m: {", "n: &x {n: *x}\n      m: {"))


def test_times_come_back() -> None:
    for told in ("2026-12-01T00:00:00Z", "2027-02-28T23:59:59Z"):
        assert format_time(parse_time(told)) == told
    assert parse_time("2026-12-01T01:00:00+01:00") == parse_time("2026-12-01")
    assert parse_time("2026-12-01T00:00:00.999Z") - parse_time("2026-12-01") == 999
