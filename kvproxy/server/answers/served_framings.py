"""`framings_elsewhere`: a document's framings under the served models besides the one that its publisher prefills."""

from __future__ import annotations

from collections.abc import Iterable

from kvproxy.core import Caller, DocumentRef, Kept, Residency
from kvproxy.documents.library.document_info import FramingInfo, ModelFramings
from kvproxy.errors import DocumentNotFound
from kvproxy.served_model import ServedModel


def framings_elsewhere(
    models: Iterable[ServedModel], ref: DocumentRef, caller: Caller
) -> tuple[ModelFramings, ...]:
    """Return what is known of a version under each of ``models``; a model whose library has not followed yet is left
    out.

    Example: ``framings_elsewhere(components.further_models, info_ref, request[CALLER])``
    """
    found = []
    for model in models:
        try:
            known = model.library.resolve(ref, caller)
        except DocumentNotFound:
            continue
        reader = caller.reading([known.document.scope])
        framings = tuple(_framing(model, p.name, p.token_ids, reader) for p in known.prefixes)
        found.append(ModelFramings(model.name, len(known.tokenized.token_ids), framings))
    return tuple(found)


def _framing(model: ServedModel, name: str, token_ids: tuple[int, ...], caller: Caller) -> FramingInfo:
    """Return one framing at a fleet, which keeps no pages of it here: only its replicas know."""
    replicas = model.backend.replicas_of(Kept(model.fingerprint, token_ids, (), 0, 0.0, 0), caller)
    resident = max((held.tokens for held in replicas), default=0)
    return FramingInfo(name, len(token_ids), resident, 0, Residency(), replicas=replicas)
