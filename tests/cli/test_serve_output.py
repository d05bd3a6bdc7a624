"""The words of ``kvproxy serve``: plain for a person, lines of the log where that is JSON."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from kvproxy.cli.serve_output import progress_stream, say
from kvproxy.terminal.progress import Progress


def test_progress_becomes_lines_of_the_log(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    with Progress("preparing m", unit="tensors", stream=progress_stream("json")) as progress:
        progress(3, 3)
    say("serving m", "json")
    assert [record.getMessage() for record in caplog.records] == ["preparing m: 3/3 tensors", "serving m"]
    assert capsys.readouterr() == ("", "")
    say("serving m", "text")
    assert capsys.readouterr().err == "serving m\n" and progress_stream("text") is sys.stderr


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_server_that_cannot_start_says_so_in_the_form_of_its_log(tmp_path: Path, form: str) -> None:
    config = tmp_path / "kvproxy.yaml"
    config.write_text(
        f"model: {{path: {tmp_path}/none}}\nstore: {{path: {tmp_path}/store}}\n"
        f"telemetry: {{log_format: {form}}}\n"
    )
    command = [sys.executable, "-m", "kvproxy", "serve", "--config", str(config), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    if form == "json":
        assert all(json.loads(line) for line in done.stderr.splitlines())
        assert json.loads(last)["level"] == "CRITICAL" and f"{tmp_path}/none" in json.loads(last)["message"]
    else:
        assert last.startswith("kvproxy: ") and f"{tmp_path}/none" in last
