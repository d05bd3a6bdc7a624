"""Without a Chromium a person's run skips and says what to install; CI's fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.chromium import MISSING, chromium_program, chromium_required

ROOT = Path(__file__).parents[2]


def test_the_program_is_found_on_the_path_or_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KVPROXY_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert chromium_program() is None and "apt-get install chromium" in MISSING
    program = tmp_path / "chromium"
    program.touch(mode=0o755)
    assert chromium_program() == str(program)
    monkeypatch.setenv("KVPROXY_CHROMIUM", "/opt/chrome")
    assert chromium_program() == "/opt/chrome"


def test_ci_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "KVPROXY_REQUIRE_CHROMIUM"):
        monkeypatch.delenv(name, raising=False)
    assert not chromium_required()
    monkeypatch.setenv("KVPROXY_REQUIRE_CHROMIUM", "1")
    assert chromium_required()
    script = ROOT / ".ci" / "run"
    assert not script.exists() or "KVPROXY_REQUIRE_CHROMIUM=1" in script.read_text(encoding="utf-8")
