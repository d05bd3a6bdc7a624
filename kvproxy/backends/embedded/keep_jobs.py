"""`keep_job`: a prefix that is computed, kept and stored, as the engine's job; and the record of what it kept."""

from __future__ import annotations

import uuid

from kvproxy.backends.base import Kept, KeptPage
from kvproxy.core import Sampling, owner_of
from kvproxy.engine.cache.kv_cache import pages_for
from kvproxy.engine.loop.sequence import Job, Sequence


def keep_job(
    token_ids: tuple[int, ...], scope: str, *, persist: bool, owner: str | None, reuse: tuple[str, ...]
) -> Job:
    """Return the job of ``LocalBackend.keep``. ``persist``: there is a store, and the job waits for it.

    Example: ``keep_job(token_ids, PUBLIC, persist=True, owner="tenant:a", reuse=())``
    """
    return Job(
        id=f"keep-{uuid.uuid4().hex}",
        token_ids=token_ids,
        sampling=Sampling(temperature=0.0),
        max_tokens=0,
        scope=scope,
        readable=(scope, *reuse),
        adopt=bool(reuse),
        seed=0,
        tenant=owner or owner_of(scope),
        shared_end=len(token_ids),
        shared_scope=scope,
        persist=persist,
        owner=owner,
    )


def kept_by(sequence: Sequence, fingerprint: str, page_bytes: int) -> Kept:
    """Return the record of a prefix from the sequence that kept it, once it has ended.

    Example: ``kept_by(sequence, model.fingerprint, pool.shape.bytes)``
    """
    token_ids = sequence.job.token_ids
    return Kept(
        fingerprint=fingerprint,
        token_ids=token_ids,
        pages=tuple(KeptPage(n.key, len(n.token_ids)) for n in sequence.kept),
        bytes=pages_for(len(token_ids)) * page_bytes,
        prefill_s=sequence.prefill_s if sequence.cached < len(token_ids) else 0.0,
        computed=len(token_ids) - sequence.cached,
    )
