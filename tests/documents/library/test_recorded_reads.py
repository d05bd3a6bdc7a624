from __future__ import annotations

from kvproxy.documents.library.recorded_reads import RecordedReads


def test_reads_add_up_and_are_told_apart() -> None:
    earlier, later = RecordedReads(2, 100, 50), RecordedReads(5, 90, 70)
    both = later.after(earlier)
    assert both == RecordedReads(7, 100, 120) == earlier.after(later)
    assert both.since(earlier) == RecordedReads(5, 100, 70), "the last read is the last read"
    assert later.after(RecordedReads()) == later
