from __future__ import annotations

from collections import Counter
from dataclasses import replace

from kvproxy.bench.fleets.reading_trace import ReadingPlan, make_reading_trace, reading_summary, warming_steps

WORDS = [f"word{number}" for number in range(300)]
PLAN = ReadingPlan(requests=2000, documents=10)


def test_the_same_plan_makes_the_same_trace() -> None:
    assert make_reading_trace(PLAN, WORDS) == make_reading_trace(PLAN, WORDS)
    assert make_reading_trace(replace(PLAN, seed=1), WORDS) != make_reading_trace(PLAN, WORDS)


def test_documents_begin_differently_and_questions_are_unique() -> None:
    trace = make_reading_trace(PLAN, WORDS)
    assert len({text[:3] for text in trace.documents}) == len(trace.documents) == 10
    assert len({step.question for step in trace.steps}) == len(trace.steps) == 2000


def test_some_documents_are_read_far_more_than_others() -> None:
    reads = Counter(step.document for step in make_reading_trace(PLAN, WORDS).steps).most_common()
    assert len(reads) == 10
    assert reads[0][1] > 3 * reads[-1][1]


def test_a_session_mostly_stays_with_its_document() -> None:
    trace = make_reading_trace(PLAN, WORDS)
    last: dict[str, int] = {}
    stayed = []
    for step in trace.steps:
        if step.session in last:
            stayed.append(last[step.session] == step.document)
        last[step.session] = step.document
    assert 0.5 < sum(stayed) / len(stayed) < 0.8
    assert 3 < len(trace.steps) / len(last) < 7


def test_warming_asks_about_each_document_once_the_most_read_last() -> None:
    trace = make_reading_trace(PLAN, WORDS)
    steps = warming_steps(trace)
    assert sorted(step.document for step in steps) == list(range(10))
    reads = Counter(step.document for step in trace.steps)
    assert steps[-1].document == max(reads, key=lambda number: (reads[number], number))


def test_a_request_is_a_question_behind_a_document() -> None:
    trace = make_reading_trace(PLAN, WORDS)
    system, user = trace.messages(trace.steps[0])
    assert system == {"role": "system", "content": trace.documents[trace.steps[0].document]}
    assert user == {"role": "user", "content": trace.steps[0].question}


def test_the_summary_states_sizes() -> None:
    told = reading_summary(PLAN, [30, 10, 20])
    assert told["document_tokens"] == {"least": 10, "median": 20, "most": 30, "all": 60}
    assert (told["requests"], told["documents"]) == (2000, 3)
