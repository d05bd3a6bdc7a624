"""`generation_job`: a generation as the engine's job."""

from __future__ import annotations

from kvproxy.backends.base import Generation
from kvproxy.core.session_hints import RetainPolicy
from kvproxy.engine.cache.session_holds import SessionHold
from kvproxy.engine.decode.constraint import CompiledGrammar
from kvproxy.engine.decode.sampler import fresh_seed
from kvproxy.engine.loop.sequence import Job


def generation_job(
    generation: Generation,
    room: int,
    grammar: CompiledGrammar | None,
    *,
    scored: bool,
    hold: SessionHold | None = None,
) -> Job:
    """Return the job of a generation. ``room``: tokens that an answer without a limit may have; ``scored``: keep the
    hidden states for an audit; ``hold``: its session's wish, from :func:`session_hold`.

    Example: ``engine.submit(generation_job(generation, 4096, None, scored=False), emit)``
    """
    sampling, prompt, caller = generation.sampling, generation.prompt, generation.caller
    shared = next((s for s in prompt.documents if s.scope is not None), None)
    return Job(
        id=generation.request_id,
        token_ids=prompt.token_ids,
        sampling=sampling,
        max_tokens=sampling.max_tokens or room,
        scope=caller.cache_scope,
        readable=caller.readable,
        open_ended=sampling.max_tokens is None,
        seed=fresh_seed() if sampling.seed is None else sampling.seed,
        tenant=caller.scope,
        shared_end=0 if shared is None else shared.end,
        shared_scope=None if shared is None else shared.scope,
        require_cached=generation.require_cached,
        reuse=not generation.fresh,
        register=not generation.fresh,
        keep_until=generation.keep_until if generation.retain else 0,
        wipe=not generation.retain,
        score_from=generation.require_cached if scored else None,
        constraint=None if grammar is None else grammar.start(),
        predicted=generation.predicted,
        known=prompt.known,
        hold=hold,
    )


def session_hold(generation: Generation, policy: RetainPolicy, pages: int) -> SessionHold | None:
    """Return the wish of a generation's session, within the operator's limits. ``pages``: the page budget.

    Example: ``session_hold(generation, RetainPolicy(), cache.pool.total)``
    """
    hint, caller = generation.hint, generation.caller
    if hint is None or not generation.retain or generation.fresh:
        return None
    seconds = min(hint.seconds, policy.most_s)
    return SessionHold(caller.scope, caller.cache_scope, hint.session, seconds, int(pages * policy.share))
