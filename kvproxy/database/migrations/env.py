"""Alembic's environment: revisions run on the connection, and in the transaction, that ``migrate`` hands over."""

from __future__ import annotations

from alembic import context

from kvproxy.database import tables
from kvproxy.database.metadata import METADATA

assert tables.__all__  # registered in METADATA by their import

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
