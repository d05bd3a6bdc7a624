"""Opens the libraries of the models that publish nothing: they follow the registry, which the primary model's publisher
and other processes write."""

from __future__ import annotations

import hashlib
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kvproxy.config import DocumentSettings
from kvproxy.documents.library.library import Library
from kvproxy.documents.library.reading_rights import ReadingRights
from kvproxy.publishing.ending_parts import EndingParts
from kvproxy.publishing.library_follower import LibraryFollower
from kvproxy.publishing.publishing_parts import make_parts
from kvproxy.publishing.restoration import Restoration
from kvproxy.publishing.text_preparation import TextPreparer
from kvproxy.publishing.version_endings import VersionEndings
from kvproxy.publishing.version_removal import VersionRemoval
from kvproxy.publishing.version_revival import revive_version
from kvproxy.served_model import ServedModel
from kvproxy.stack.open_documents import composer_of
from kvproxy.stack.open_model import OpenModel
from kvproxy.stack.open_records import OpenRecords


@dataclass(frozen=True, slots=True)
class FollowedModel:
    """A served model whose library follows the registry."""

    model: ServedModel
    follower: LibraryFollower
    """Its ``run`` belongs into the background."""
    endings: VersionEndings
    """Its ``run_unrecorded`` does too."""


@asynccontextmanager
async def open_followed(
    settings: DocumentSettings,
    opened: OpenModel,
    records: OpenRecords,
    rights: ReadingRights | None = None,
    pin_share: Callable[[], float] = lambda: 1.0,
) -> AsyncIterator[FollowedModel]:
    """Make every registered document known under a further model's tokens, and follow what is published from now on.

    ``pin_share``: the part of the pages that may be pinned which one tenant may have.
    Example: ``async with open_followed(config.documents, fleet, records, market.rights) as followed: ...``
    """
    composer = composer_of(settings, opened, Library(rights))
    preparer = TextPreparer(composer, settings.spellings, opened.backend)
    async with AsyncExitStack() as life:
        parts = make_parts(
            *(composer.library, records.registry, opened.backend, preparer),
            *(prepared_file(records.prepared, opened.name), pin_share),
        )
        if parts.texts is not None:
            life.enter_context(closing(parts.texts))
        removal = VersionRemoval(parts)
        steps = EndingParts(removal.let_go, removal.forget, partial(revive_version, parts))
        # It deletes no version: the primary model's publisher does.
        endings = VersionEndings(parts, steps, grace_s=math.inf)
        follower = LibraryFollower(parts, Restoration(parts, endings.restore), endings, own=True)
        await follower.restore()
        model = ServedModel(opened.name, opened.backend, composer, opened.fingerprint)
        yield FollowedModel(model, follower, endings)


def prepared_file(prepared: Path, model: str) -> Path:
    """Return the file of a further model's prepared texts, beside the primary's: each has tokens of its own."""
    return prepared.with_name(f"{prepared.name}.{hashlib.sha256(model.encode()).hexdigest()[:12]}")
