from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.bench.page_tables import print_restart
from kvproxy.bench.restart import bench_restart, has_text, seconds_in
from kvproxy.config import load_config


def test_both_times_stand_in_the_log() -> None:
    model = "INFO kvproxy.stack.open_engine: smollm2-135m: loaded in 1.25 s\n"
    assert seconds_in(model) is None
    assert seconds_in(model + "INFO kvproxy.stack.background: litellm is imported, in 2.50 s\n") == (
        1.25,
        2.5,
    )


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('data: {"choices": [{"delta": {"content": "A"}}]}', True),
        ('data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}', False),
        ('data: {"choices": [{"delta": {}}]}', False),
        ('data: {"choices": [], "usage": {}}', False),
        ("data: [DONE]", False),
        (": waiting", False),
        ("", False),
    ],
)
def test_the_first_token_is_the_first_text(line: str, text: bool) -> None:
    assert has_text(line) is text


@pytest.mark.slow  # three starts of the real model
@pytest.mark.timeout(600)
def test_the_first_request_after_a_restart_hits(smollm2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = load_config(None, {"model": {"path": str(smollm2)}})
    result = bench_restart(config, text="A rule of the house. " * 150, repeats=2)
    assert result["document_tokens"] > 256 and len(result["rows"]) == 2
    assert all(0 < row["first_hit"] < row["start_to_first_hit"] for row in result["rows"])
    print_restart(result)
    assert "first hit" in capsys.readouterr().out
