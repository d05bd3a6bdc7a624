from __future__ import annotations

import re
from pathlib import Path

from tests.cli.bulk.test_bulk_run import folder
from tests.cli.test_app import call
from tests.fake_proxy import running

__all__ = ["folder"]


def test_the_command_publishes_a_folder_and_says_what_became_of_it(folder: Path) -> None:
    with running() as proxy:
        arguments = ("publish", str(folder), "--url", proxy.url)
        status, out, _ = call(*arguments, "--dry-run")
        assert status == 0 and out.endswith("6 would publish\n") and not proxy.documents
        status, out, _ = call(*arguments)
        assert status == 0 and out.endswith("6 published\n") and sorted(proxy.documents)[0] == "t0"
        (folder / "t0.md").write_bytes(b"\xff\x00")
        status, out, _ = call(*arguments)
        assert status == 1 and "5 unchanged, 1 failed" in out
        assert re.search(r"is\W+not\W+UTF-8\W+text", out)  # a table's cell may be folded
        status, out, _ = call(*arguments, "--json")
        assert status == 1 and '"outcome": "unchanged"' in out
        status, _, err = call("publish", "-", "--url", proxy.url)
        assert status == 2 and "needs --id" in err
        status, _, err = call("publish", str(folder), str(folder), "--id", "x", "--url", proxy.url)
        assert status == 2 and "--id names one text" in err
