"""A private PostgreSQL on loopback, for tests and for fleets on one machine: in a folder of its own, gone with it."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kvproxy.errors import SetupError

MISSING = "needs PostgreSQL's server programs: apt-get install postgresql"

_USER = "kvproxy"

_SETTINGS = {
    "fsync": "off",  # its data live no longer than the process that started it
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "unix_socket_directories": "",
}


def programs() -> Path | None:
    """Find the folder of initdb and postgres, or None. Debian keeps them out of PATH, one folder for each version."""
    found = shutil.which("initdb")
    if found is not None and shutil.which("postgres") is not None:
        return Path(found).parent
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[-3].split(".")[0])
    )
    return versions[-1].parent if versions else None


def free_port() -> int:
    """Find a TCP port of loopback that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _server_user() -> pwd.struct_passwd | None:
    """Find the user to become: PostgreSQL refuses to run as root. None where this process is not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise SetupError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")


class PostgresServer:
    """A PostgreSQL in ``folder``. ``stop`` and ``start`` may be called in between, for tests of its absence."""

    def __init__(self, bin: Path, folder: Path) -> None:
        self._bin = bin
        self.folder = folder
        self._user = _server_user()
        self._data = folder / "data"
        self._log = folder / "log"
        self.port = free_port()
        self.url = f"postgresql+psycopg://{_USER}@127.0.0.1:{self.port}/postgres"
        if self._user is not None:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        # Connections from loopback are trusted: the server ends with what started it, and holds nothing else.
        self._run(
            "initdb", "-D", self._data, "-U", _USER, "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"
        )

    def start(self) -> None:
        """Start it and wait until it takes connections. Raises SetupError with the end of its log."""
        options = " ".join(f"-c {name}='{value}'" for name, value in _SETTINGS.items())
        options += f" -c listen_addresses=127.0.0.1 -c port={self.port}"
        self._run("pg_ctl", "-D", self._data, "-l", self._log, "-w", "-t", "120", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; ``immediate`` as a crash would."""
        self._run("pg_ctl", "-D", self._data, "-w", "-m", mode, "stop")

    def _run(self, program: str, *arguments: str | Path) -> None:
        user = self._user
        done = subprocess.run(
            [str(self._bin / program), *map(str, arguments)],
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the server inherits it: a pipe would never end
            stderr=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            told = self._log.read_text(errors="replace")[-2000:] if self._log.exists() else "no log"
            raise SetupError(f"{program} failed with status {done.returncode}: {told}")


@contextmanager
def private_postgres(find: Callable[[], Path | None] = programs) -> Iterator[PostgresServer]:
    """Run a server in a temporary folder; stop and remove it at the end. Raises SetupError where ``find`` finds no
    programs."""
    bin = find()
    if bin is None:
        raise SetupError(MISSING)
    folder = Path(tempfile.mkdtemp(prefix="kvproxy-postgres-"))
    try:
        server = PostgresServer(bin, folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
