"""Examination of the store's folder as a start would find it: whether it can be written, and who may read its keys."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from kvproxy.accounts.key_hash import SECRET_NAME
from kvproxy.cli.doctor import disk_findings
from kvproxy.receipts.host_keys import FOLDER
from kvproxy.terminal.finding import Finding


def store_access_findings(store: Path) -> Iterator[Finding]:
    """Report what a server would not start with: a folder that it may not write, keys that others may read, or that it
    may not read itself. How full the disk is, and what is damaged, is the doctor's to say.

    Example: ``list(store_access_findings(Path("/var/lib/kvproxy")))``
    """
    yield from (
        found for found in disk_findings(store, 0) if found.level == "fail" and "written" in found.what
    )
    for path in (store / SECRET_NAME, *sorted((store / FOLDER).glob("[!.]*"))):
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError:  # made when the server starts, or gone meanwhile
            continue
        if mode & 0o077:
            yield Finding(
                "fail", "store", f"{path}: others may use it (mode {mode:o})", f"chmod 600 '{path}'"
            )
        elif not os.access(path, os.R_OK):
            yield Finding(
                "fail", "store", f"{path} cannot be read", "give it to the user that kvproxy runs as"
            )
