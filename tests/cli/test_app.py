from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kvproxy import __version__
from kvproxy.cli.app import app
from tests.fake_proxy import FakeProxy, running


@pytest.fixture
def proxy() -> Iterator[FakeProxy]:
    with running() as proxy:
        yield proxy


def call(*arguments: str, stdin: str | bytes | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments), input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_version() -> None:
    assert call("--version") == (0, f"kvproxy {__version__}\n", "")


def test_help_names_every_command() -> None:
    status, out, _ = call("--help")
    assert status == 0
    for command in ("serve", "publish", "docs", "demo", "verify", "bench", "doctor"):
        assert command in out


def test_it_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "kvproxy", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"kvproxy {__version__}\n")


def test_a_file_is_published(proxy: FakeProxy, tmp_path: Path) -> None:
    file = tmp_path / "handbook.txt"
    file.write_text("one two three", encoding="utf-8")
    status, out, err = call("publish", str(file), "--id", "handbook", "--url", proxy.url, "--private")
    assert (status, out) == (0, "handbook@1: 3 tokens, private, in 1.5 s\n")
    assert "publish handbook: 4/4 tokens" in err
    status, out, _ = call("publish", str(file), "--id", "handbook", "--url", proxy.url)
    assert out == "handbook@1: 3 tokens, public, already published\n"


def test_stdin_is_published_as_it_is(proxy: FakeProxy) -> None:
    text = "zwei\r\nWörter \n"
    status, _, _ = call("publish", "-", "--id", "x", "--url", proxy.url, stdin=text.encode())
    assert status == 0
    assert proxy.documents["x"]["text"] == text


def test_a_refusal_is_one_line_and_status_1(proxy: FakeProxy) -> None:
    status, out, err = call("docs", "show", "none", "--url", proxy.url)
    assert (status, out, err) == (1, "", "kvproxy: No such document: 'none'.\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("server: {prot: 1}", "did you mean 'port'?"),
        ("server: [", "is not valid YAML"),
        ("model: {dtype: int4}", "model.dtype"),
    ],
)
@pytest.mark.parametrize("command", [("serve",), ("bench", "cold")], ids=" ".join)
def test_a_bad_config_is_one_line_and_status_2(
    tmp_path: Path, content: str, message: str, command: tuple[str, ...]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(content)
    status, out, err = call(*command, "--config", str(file))
    assert (status, out) == (2, "")
    assert message in err
    assert err.startswith("kvproxy: ")
    assert "Traceback" not in err


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.bin"
    file.write_bytes(b"ab\xff")
    status, _, err = call("publish", str(file), "--id", "x")
    assert status == 2
    assert "is not UTF-8 text (byte 2)" in err
    assert call("publish", str(tmp_path / "none"), "--id", "x")[0] == 2


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"one\r\ntwo\r\n", "one\r\ntwo\r\n"),
        (b"\xef\xbb\xbfone two", "\ufeffone two"),
        ("one tw\u00f6".encode("utf-16"), "one tw\u00f6"),
        (b"\xfe\xff" + "one tw\u00f6".encode("utf-16-be"), "one tw\u00f6"),
        ("one tw\u00f6".encode("utf-32"), "one tw\u00f6"),
    ],
    ids=["crlf", "bom", "utf-16", "utf-16-be", "utf-32"],
)
def test_a_file_is_published_as_it_is(proxy: FakeProxy, tmp_path: Path, data: bytes, text: str) -> None:
    file = tmp_path / "x.txt"
    file.write_bytes(data)
    assert call("publish", str(file), "--id", "x", "--url", proxy.url)[0] == 0
    assert proxy.documents["x"]["text"] == text


def test_half_a_file_of_utf_16_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    file.write_bytes("one".encode("utf-16")[:-1])
    status, _, err = call("publish", str(file), "--id", "x")
    assert status == 2 and "is not UTF-16-LE text" in err and "Traceback" not in err


def test_publish_and_list_say_in_how_many_spellings(proxy: FakeProxy, tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    file.write_bytes(b"one\r\ntwo")
    proxy.spellings = ("published", "lf")
    _, out, _ = call("publish", str(file), "--id", "x", "--url", proxy.url)
    assert out == "x@1: 2 tokens, 2 spellings (published, lf), public, in 1.5 s\n"
    _, out, _ = call("docs", "list", "--url", proxy.url)
    assert "system in 2 spellings" in out


def test_private_and_public_exclude_each_other(tmp_path: Path) -> None:
    status, _, err = call("publish", "-", "--id", "x", "--private", "--public", stdin="t")
    assert status == 2
    assert "exclude each other" in err


def test_verify_shows_what_was_compared(proxy: FakeProxy) -> None:
    for name in ("handbook", "law"):
        proxy.publish({"id": name, "text": "one two"})
    status, out, err = call("verify", "--all", "--tokens", "30", "--url", proxy.url)
    assert status == 0 and out.count("30/30") == out.count("1300/1300") // 2 == 2
    assert out.endswith("2 of 2 exact: 2,600 positions and 4 pages compared\n")
    assert "verify handbook@1: 4/4 tokens" in err
    status, out, _ = call("verify", "law", "--json", "--url", proxy.url)
    assert status == 0 and [row["exact"] for row in json.loads(out)] == [True]


def test_verify_says_what_differs_by_its_status(proxy: FakeProxy) -> None:
    proxy.publish({"id": "lost", "text": "one two"})
    status, out, _ = call("verify", "lost", "--url", proxy.url)
    assert status == 3 and "no page of this prompt is kept" in out and "1 could not be compared" in out
    proxy.publish({"id": "handbook", "text": "one two"})
    proxy.lies = True
    status, out, _ = call("verify", "lost", "handbook", "--url", proxy.url)
    assert status == 1 and "DIFFERS from position 260 on" in out and "3/24" in out and "0.25" in out
    status, out, err = call("verify", "handbook", "none", "--url", proxy.url)
    assert status == 1 and "DIFFERS" in out and err.endswith("kvproxy: No such document: 'none'.\n")
    status, out, err = call("verify", "none", "--url", proxy.url)
    assert (status, out, err) == (3, "", "kvproxy: No such document: 'none'.\n")


def test_verify_tells_how_far_a_fleets_answers_agree(proxy: FakeProxy) -> None:
    for name in ("handbook", "lost"):
        proxy.publish({"id": name, "text": "one two"})
    status, out, _ = call("verify", "handbook", "--model", "fleet", "--url", proxy.url)
    assert status == 0 and "agrees at rack2" in out and "24/24" in out
    assert "pages equal" not in out, "of a fleet they cannot be seen"
    assert out.endswith(
        "1 of 1 agree: greedy tokens equal 24 of 24, largest logprob difference 0; a fleet is never exact\n"
    )
    status, out, _ = call("verify", "handbook", "lost", "--model", "fleet", "--url", proxy.url)
    assert status == 3 and out.endswith("never exact; 1 could not be compared\n")
    proxy.lies = True
    status, out, _ = call("verify", "handbook", "--model", "fleet", "--url", proxy.url)
    assert status == 1 and "DIFFERS at rack2" in out
    assert "0 of 1 agree: greedy tokens equal 3 of 24, largest logprob difference 0.25" in out


@pytest.mark.parametrize("arguments", [(), ("--all", "handbook"), ("x", "--tokens", "0")])
def test_verify_needs_to_know_what(arguments: tuple[str, ...]) -> None:
    assert call("verify", *arguments)[0] == 2


def test_doctor_fails_on_a_config_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # A long path would break the line in a place of its own.
    Path("config.yaml").write_text("engine: {page_budgt: 1}")
    status, out, _ = call("doctor", "--config", "config.yaml")
    assert status == 1
    assert "did you mean 'page_budget'?" in " ".join(out.split())
