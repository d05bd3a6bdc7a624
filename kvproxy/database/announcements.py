"""`announce`: tell of a change within the transaction that makes it, so that it is told of if it is committed.

On PostgreSQL the change goes out by NOTIFY, to every process of the database that listens. Subscribers of this
process are told by :class:`~kvproxy.database.database.Database` after the commit, on either database.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, text

CHANNEL = "kvproxy_changes"

MOST_BYTES = 7_900
"""Bytes of a payload, below PostgreSQL's 8,000. A longer name is told of as "anything may have changed"."""

_NOTED = "kvproxy_announced"
_PROCESS = "kvproxy_process"


class ChangeTopic(StrEnum):
    """The part of the database that a change is of."""

    DOCUMENTS = "documents"
    """A name's versions, pages, pins, marks or aliases; ``name`` is a ``DocumentRef.name``."""
    ACCOUNTS = "accounts"
    """Tenants, keys, budgets, quotas or grants."""
    PRICES = "prices"
    """Tariffs or terms."""


@dataclass(frozen=True, slots=True)
class Change:
    """A committed change. ``name`` is empty where all of the topic may have changed: changes may have been missed."""

    topic: ChangeTopic
    name: str = ""
    own: bool = False
    """True for a change that this process has made itself."""


def begin_noting(db: Connection, process: str) -> list[Change]:
    """Return the list that :func:`announce` adds to in this transaction; ``process`` names who announces.

    Example:
        ``noted = begin_noting(connection, database.process)``
    """
    noted: list[Change] = []
    db.info[_NOTED], db.info[_PROCESS] = noted, process
    return noted


def announce(db: Connection, topic: ChangeTopic, name: str = "") -> None:
    """Tell of a change once the transaction is committed. One transaction tells of a name once.

    Example:
        ``announce(db, ChangeTopic.DOCUMENTS, DocumentRef("handbook").name)``
    """
    noted: list[Change] | None = db.info.get(_NOTED)
    change = Change(topic, name, own=True)
    if noted is None or change in noted:
        return
    noted.append(change)
    if db.dialect.name == "postgresql":
        payload = encode_change(change, db.info[_PROCESS])
        db.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": CHANNEL, "payload": payload})


def encode_change(change: Change, process: str) -> str:
    """Return a change as a payload of at most ``MOST_BYTES`` bytes.

    Example:
        ``payload = encode_change(Change(ChangeTopic.DOCUMENTS, "handbook"), process)``
    """
    payload = json.dumps([change.topic, process, change.name])
    if len(payload) > MOST_BYTES:
        payload = json.dumps([change.topic, process, ""])
    return payload


def decode_change(payload: str, process: str) -> Change | None:
    """Read a payload as ``process`` sees it; None for one that another version of this program has written.

    Example:
        ``change = decode_change(notify.payload, database.process)``
    """
    try:
        topic, sender, name = json.loads(payload)
        return Change(ChangeTopic(topic), str(name), own=sender == process)
    except (ValueError, TypeError):
        return None
