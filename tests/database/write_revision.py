"""Write the next revision of the schema: what METADATA has that the migrated database has not.

``PYTHONPATH=. python -m tests.database.write_revision "the tables of accounts" [TABLES_MODULE …]``; with modules of
kvproxy.database.tables only their tables. Look at the file before it is committed. One that no
release has may be deleted, and written anew.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from importlib import import_module
from pathlib import Path

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.operations.ops import CreateTableOp, MigrateOperation, ModifyTableOps, UpgradeOps
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Table

from kvproxy.database import tables
from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.database.migrate import migrate

VERSIONS = Path(__file__).parents[2] / "kvproxy" / "database" / "migrations" / "versions"

_HEAD = '''"""Revision {number}: {subject}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "{number}"
down_revision = {before}


def upgrade() -> None:
    """Apply the revision."""
{calls}
'''


def missing() -> dict[str, list[MigrateOperation]]:
    """The operations that a migrated database lacks, by table, in an order that foreign keys allow."""
    with tempfile.TemporaryDirectory() as folder, Database.open(None, Path(folder)) as database:
        if any(VERSIONS.glob("revision_*.py")):
            migrate(database)
        with database.transaction() as db:
            found = produce_migrations(MigrationContext.configure(db), METADATA).upgrade_ops
    by_table: dict[str, list[MigrateOperation]] = defaultdict(list)
    assert found is not None
    for op in found.ops:
        assert isinstance(op, CreateTableOp | ModifyTableOps), f"write this by hand: {op}"
        by_table[op.table_name].append(op)
    return by_table


def tables_of(names: list[str]) -> set[str]:
    modules = [import_module(f"{tables.__name__}.{name}") for name in names]
    return {t.name for module in modules for t in vars(module).values() if isinstance(t, Table)}


def write(subject: str, names: list[str]) -> Path:
    last = max((int(p.stem.split("_")[1]) for p in VERSIONS.glob("revision_*.py")), default=0)
    wanted = tables_of(names)
    found = {t: ops for t, ops in missing().items() if not wanted or t in wanted}
    if not found:
        raise SystemExit("the migrated schema is METADATA already")
    text = _HEAD.format(
        number=f"{last + 1:04d}",
        subject=subject,
        before=f'"{last:04d}"' if last else None,
        calls="\n".join(f"    _{table}()" for table in found),
    )
    for table, ops in found.items():
        body = render_python_code(UpgradeOps(ops), migration_context=None).replace("# ### ", "# ")
        lines = [line for line in body.splitlines() if not line.strip().startswith("# ")]
        text += f"\n\ndef _{table}() -> None:\n" + "\n".join(f"    {line.strip()}" for line in lines) + "\n"
    word = re.sub(r"\W+", "_", subject.removeprefix("the tables of ").removeprefix("the ")).strip("_").lower()
    path = VERSIONS / f"revision_{last + 1:04d}_{word}.py"
    path.write_text(text, encoding="utf-8")
    for step in (("format", "-q"), ("check", "-q", "--fix"), ("format", "-q")):
        subprocess.run([sys.executable, "-m", "ruff", *step, path], check=True)
    return path


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    print(write(sys.argv[1], sys.argv[2:]))  # noqa: T201  a command's answer
