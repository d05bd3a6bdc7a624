"""Ids, texts and canonical order of nodes.

All functions are pure: nodes in, new nodes out, no request, no state.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, TextNode

NodeLike: TypeAlias = BaseNode | NodeWithScore

TEXT_FIRST = "{content}\n\n{metadata_str}"
"""A node template with the text first, since a published document begins with its text; LlamaIndex's own has the
metadata first."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SOURCES = ("file_path", "url", "source", "file_name")
"""Metadata keys under which LlamaIndex's readers write a text's source."""
_PLACES = ("page_label", "page", "slide_number")
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9._/-]+", re.ASCII)
_LONGEST_ID = 128


def text_of(node: NodeLike) -> str:
    """Return the text of a node as a model reads it: its content, then its metadata."""
    return text_first(node_of(node)).get_content(metadata_mode=MetadataMode.LLM).strip()


def document_id(node: NodeLike) -> str:
    """Return the id under which a node is published, the same for the same text of the same source in any index.

    It is the node's own id where that was chosen; where LlamaIndex made it up (a uuid, another one each time that a
    folder is read), the text's source, its page, and the start of its digest.
    """
    own = node_of(node)
    if not _UUID.fullmatch(own.node_id):
        return _legal(own.node_id)
    places = (str(own.metadata[name]) for name in _PLACES if own.metadata.get(name) is not None)
    return _legal("/".join([_source(own), *places, _digest(own)[:12]]))


def canonical(nodes: Iterable[NodeLike]) -> list[NodeLike]:
    """Sort nodes into one order, each text once, without blank ones: the same nodes in any order give the same start.

    A prompt's tokens are reused up to the first that differs, so the order must not depend on the question. Nodes
    of one source stand in their order there. Of several with one text the first is kept.
    """
    distinct: dict[str, NodeLike] = {}
    for node in nodes:
        if text_of(node):
            distinct.setdefault(_digest(node_of(node)), node)
    return sorted(distinct.values(), key=_place)


def text_first(node: BaseNode) -> BaseNode:
    """Copy a node with its metadata behind its text; a node with a template of its own is returned as it is."""
    template = getattr(node, "text_template", None)
    if template != TextNode.model_fields["text_template"].default:
        return node
    return node.model_copy(update={"text_template": TEXT_FIRST})


def node_of(node: NodeLike) -> BaseNode:
    """Return the node without its score."""
    return node.node if isinstance(node, NodeWithScore) else node


def texts_of(nodes: Iterable[NodeLike]) -> list[str]:
    """Return the texts of nodes in canonical order, each once."""
    return [text_of(node) for node in canonical(nodes)]


def _place(node: NodeLike) -> tuple[str, int, str, str]:
    own = node_of(node)
    start = getattr(own, "start_char_idx", None)
    return (_source(own), start if isinstance(start, int) else 0, document_id(own), _digest(own))


def _source(node: BaseNode) -> str:
    named: Sequence[object] = [node.metadata.get(name) for name in _SOURCES]
    of_source = node.ref_doc_id
    if of_source and not _UUID.fullmatch(of_source):
        named = [of_source]
    return next((str(name) for name in named if name), "node")


def _digest(node: BaseNode) -> str:
    return hashlib.sha256(text_of(node).encode("utf-8", "surrogatepass")).hexdigest()


def _legal(name: str) -> str:
    """Turn ``name`` into an id, the same where it is legal; else a few digits keep two ids apart that would be one."""
    segments = [s for s in name.replace("\\", "/").split("/") if s not in ("", ".", "..")]
    legal = _NOT_IN_IDS.sub("-", "/".join(segments)).lstrip("._/-")
    if legal == name and len(legal) <= _LONGEST_ID:
        return legal
    digits = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{legal[: _LONGEST_ID - 9].rstrip('-/')}-{digits}" if legal else f"node-{digits}"
