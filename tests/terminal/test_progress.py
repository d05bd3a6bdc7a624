from __future__ import annotations

import io

from kvproxy.terminal.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end() -> None:
    log, clock = io.StringIO(), Clock()
    with Progress("publish gpl-3", stream=log, clock=clock) as progress:
        for done in range(0, 1001, 10):
            progress(done, 1000)
            clock.now += 0.125
    lines = log.getvalue().splitlines()
    assert lines == [
        "publish gpl-3: 400/1000 tokens, 80 tokens/s, 8 s left",
        "publish gpl-3: 800/1000 tokens, 80 tokens/s, 2 s left",
        "publish gpl-3: 1000/1000 tokens, 80 tokens/s, 12.5 s",
    ]


def test_what_was_done_at_once_claims_no_rate() -> None:
    log = io.StringIO()
    with Progress("publish gpl-3", stream=log, clock=Clock()) as progress:
        progress(1000, 1000)
        progress(1000, 1000)
    assert log.getvalue() == "publish gpl-3: 1000/1000 tokens\n"


def test_a_terminal_gets_a_bar_with_rate_and_time_left() -> None:
    terminal = Terminal()
    with Progress("converting", unit="tensors", stream=terminal) as progress:
        for done in range(273):
            progress(done, 272)
    text = terminal.getvalue()
    assert "converting" in text
    assert "272/272" in text


def test_nothing_done_says_nothing() -> None:
    log = io.StringIO()
    with Progress("serve", stream=log):
        pass
    assert log.getvalue() == ""
