"""The tariff valid at each time, and the changes that may be added: what has begun never changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.errors import SetupError
from kvproxy.tariffs import ModelPrices, Tariff
from kvproxy.tariffs.tariff_file import TariffEntry, TariffFile
from kvproxy.tariffs.tariff_history import TariffHistory, plan_file, plan_record


def tariff(begins: int, price: int = 10, currency: str = "USD") -> Tariff:
    return Tariff.of(currency, begins, {"m": ModelPrices(input=price, output=price)})


def entry(begins: int, price: int = 10, written: str | None = None) -> TariffEntry:
    return TariffEntry(tariff(begins, price), 1, written or f"{begins}:{price}")


def file_of(*entries: TariffEntry) -> TariffFile:
    return TariffFile(Path("tariff.yaml"), "USD", entries)


def after(history: TariffHistory, file: TariffFile, now: int) -> TariffHistory:
    return history.added(plan_file(history, file, now))


def prices(history: TariffHistory, *times: int) -> list[int | None]:
    found = [history.at(ms) for ms in times]
    return [None if one is None else one.models["m"].input for one in found]


def test_the_tariff_that_began_last_is_valid() -> None:
    history = after(TariffHistory(), file_of(entry(100, 1), entry(200, 2)), 150)
    assert prices(history, 99, 100, 199, 200, 10**15) == [None, 1, 1, 2, 2]
    first = history.at(100)
    assert first is not None and history.by_id(first.id) == first and history.by_id("no") is None


def test_the_same_file_again_changes_nothing() -> None:
    file = file_of(entry(100, 1), entry(200, 2))
    history = after(TariffHistory(), file, 150)
    assert all(plan_file(history, file, now) == [] for now in (150, 199, 200, 10**6))


def test_what_has_begun_cannot_be_changed() -> None:
    history = after(TariffHistory(), file_of(entry(100, 1)), 150)
    with pytest.raises(
        SetupError, match=r"begins in the past, and another tariff .* add an entry with valid_from"
    ):
        plan_file(history, file_of(entry(100, 2)), 150)
    with pytest.raises(SetupError, match="begins in the past, and others were valid since"):
        plan_file(history, file_of(entry(100, 1), entry(120, 2)), 150)
    with pytest.raises(SetupError, match="in EUR, and what is recorded in USD"):
        plan_record(history, tariff(300, 1, "EUR"), 150)


def test_what_is_valid_cannot_be_left_out() -> None:
    history = after(TariffHistory(), file_of(entry(100, 1), entry(200, 2)), 150)
    with pytest.raises(SetupError, match="is not in the file"):
        plan_file(history, file_of(entry(100, 1)), 250)
    with pytest.raises(SetupError, match="is not in the file"):
        plan_file(history, file_of(entry(300, 1)), 250)
    old_one_left_out = file_of(entry(200, 2), entry(300, 3))
    assert prices(after(history, old_one_left_out, 250), 100, 200, 300) == [1, 2, 3]


def test_the_future_may_change_and_be_withdrawn() -> None:
    history = after(TariffHistory(), file_of(entry(100, 1), entry(200, 2), entry(300, 3)), 150)
    history = after(history, file_of(entry(100, 1), entry(200, 9)), 150)
    assert prices(history, 150, 200, 300) == [1, 9, 9]
    assert {record.action for record in history.records} == {"valid", "withdrawn"}
    history = after(history, file_of(entry(100, 1), entry(200, 9), entry(300, 3)), 160)
    assert prices(history, 150, 200, 300) == [1, 9, 3]


def test_new_prices_of_upstreams_count_from_now_on() -> None:
    """The entry is as it was written; litellm's map has another price."""
    history = after(TariffHistory(), file_of(entry(100, 1, "as written"), entry(900, 1, "later")), 150)
    newer = file_of(entry(100, 2, "as written"), entry(900, 2, "later"))
    history = after(history, newer, 500)
    assert prices(history, 499, 500, 900) == [1, 2, 2]
    assert plan_file(history, newer, 501) == []
    history = after(history, file_of(entry(100, 3, "as written"), entry(900, 2, "later")), 600)
    assert prices(history, 150, 599, 600) == [1, 2, 3]


def test_a_first_tariff_may_begin_at_any_time() -> None:
    future = after(TariffHistory(), file_of(entry(900, 1)), 100)
    assert prices(after(future, file_of(entry(50, 5), entry(900, 1)), 100), 50, 900) == [5, 1]


def test_a_tariff_of_no_file() -> None:
    history = TariffHistory().added(plan_record(TariffHistory(), tariff(100, 1), 150))
    assert plan_record(history, tariff(100, 1), 10**6) == []
    assert plan_file(history, file_of(entry(10**6, 3)), 200)[0].tariff.valid_from_ms == 10**6
    with pytest.raises(SetupError, match="others were valid since"):
        plan_file(history, file_of(entry(50, 7)), 160)


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(1, 3), st.booleans()),
        max_size=25,
    )
)
def test_no_accepted_change_rewrites_the_past(changes: list[tuple[int, int, bool]]) -> None:
    """Files come in at ascending times, with any entries: whoever was charged before sees the same tariff."""
    history, now = TariffHistory(), 10
    entries: dict[int, TariffEntry] = {}
    for begins, price, removed in changes:
        now += 1
        was = [history.at(ms) for ms in range(now)]
        tried = dict(entries)
        if removed:
            tried.pop(begins, None)
        else:
            tried[begins] = entry(begins, price)
        file = file_of(*(tried[key] for key in sorted(tried)))
        try:
            planned = plan_file(history, file, now)
        except SetupError:
            continue
        entries = tried
        history = history.added(planned)
        assert all(one is None or history.at(ms) == one for ms, one in enumerate(was))
        assert plan_file(history, file, now) == []
        for record in history.records:
            assert history.by_id(record.tariff.id) == record.tariff


def test_a_history_is_a_value() -> None:
    history = after(TariffHistory(), file_of(entry(100, 1)), 150)
    assert replace(history) == history and TariffHistory().at(10**15) is None
