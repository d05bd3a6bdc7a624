import pytest

from kvproxy.routing.read_rates import ReadRates


def test_a_steady_reader_shows_its_rate() -> None:
    rates = ReadRates(memory_s=300)
    for second in range(0, 3000, 2):
        shown = rates.read("a", float(second))
    assert shown == pytest.approx(30, rel=0.02)
    assert rates.per_minute("a", 2998.0 + 300) == pytest.approx(shown / 2.718, rel=0.01)
    assert rates.per_minute("b", 5.0) == 0


def test_only_the_last_read_documents_are_kept() -> None:
    rates = ReadRates(most_documents=2)
    for key in ("a", "b", "a", "c"):
        rates.read(key, 1.0)
    assert len(rates) == 2 and rates.per_minute("b", 1.0) == 0 < rates.per_minute("a", 1.0)


def test_what_is_forgotten_has_no_reads() -> None:
    rates = ReadRates()
    rates.read("a", 1.0)
    for _ in range(2):
        rates.forget("a")
    assert len(rates) == 0 and rates.per_minute("a", 1.0) == 0
