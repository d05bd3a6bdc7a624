"""The unit: systemd's own checks of it, and what it promises beside the product's settings."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kvproxy.config import Config

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNIT = (FOLDER / "kvproxy.service").read_text(encoding="utf-8")
README = (FOLDER / "README.md").read_text(encoding="utf-8")
ANALYZE = shutil.which("systemd-analyze")


def values(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)


def installed(folder: Path, *, gpu: bool) -> dict[str, str]:
    """The unit as it would lie in /etc, with a program that exists; the variable by which systemd finds it."""
    (folder / "kvproxy.service.d").mkdir()
    (folder / "kvproxy.service").write_text(
        UNIT.replace("/opt/kvproxy/bin/kvproxy", shutil.which("true") or "")
    )
    if gpu:
        shutil.copy(FOLDER / "gpu.conf", folder / "kvproxy.service.d")
    return {"SYSTEMD_UNIT_PATH": f"{folder}:", "PATH": "/usr/bin:/bin", "SYSTEMD_COLORS": "0"}


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is systemd's")
@pytest.mark.parametrize(("gpu", "told"), [(False, "without a GPU"), (True, "with `gpu.conf`")])
def test_systemd_has_nothing_to_say_and_finds_it_closed(tmp_path: Path, gpu: bool, told: str) -> None:
    environ = installed(tmp_path, gpu=gpu)
    assert ANALYZE is not None
    checked = subprocess.run(
        [ANALYZE, "verify", "kvproxy.service"], env=environ, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    rated = subprocess.run(
        [ANALYZE, "security", "--offline=true", "kvproxy.service"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"exposure level for kvproxy.service: ([\d.]+) OK", rated.stdout)
    assert found is not None and float(found[1]) < 2, rated.stdout[-300:]
    said = re.search(rf"([\d.]+) {re.escape(told)}", README)
    assert (
        said is not None and abs(float(said[1]) - float(found[1])) <= 0.3
    )  # versions of systemd weigh differently


def test_it_waits_longer_than_open_streams_may_take() -> None:
    [stop] = values("TimeoutStopSec")
    assert int(stop.removesuffix("s")) > Config().server.drain_timeout_s
    assert values("Type") == ["notify"] and values("WatchdogSec") == ["30s"]


def test_nothing_starts_with_settings_that_do_not_check() -> None:
    assert values("ExecStartPre") == ["/opt/kvproxy/bin/kvproxy config check --offline"]
    assert values("ExecStart") == ["/opt/kvproxy/bin/kvproxy serve"]
    assert "Environment=KVPROXY_CONFIG=/etc/kvproxy/kvproxy.yaml" in UNIT


def test_the_readmes_settings_name_the_units_credentials() -> None:
    loaded = {line.split(":")[0] for line in values("(?:# )?LoadCredential")}
    assert set(re.findall(r"\$\{credential:(\w+)\}", README)) - {"NAME"} <= loaded
    assert {line.split(":")[1] for line in values("LoadCredential")} == {"/etc/kvproxy/secrets/admin_key"}


def test_it_is_no_lasting_user_and_keeps_its_folders() -> None:
    for name, value in (("DynamicUser", "yes"), ("StateDirectory", "kvproxy"), ("ProtectSystem", "strict")):
        assert values(name) == [value]
    assert values("MemoryDenyWriteExecute") == ["yes"] and values("NoNewPrivileges") == ["yes"]
