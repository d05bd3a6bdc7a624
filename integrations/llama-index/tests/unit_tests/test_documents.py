from __future__ import annotations

import itertools
import json

from llama_index.core.schema import Document, MetadataMode, NodeWithScore, TextNode
from llama_index.llms.kvproxy import CanonicalOrder, canonical, document_id
from llama_index.llms.kvproxy.documents import text_of


def node(text: str, **fields: object) -> TextNode:
    return TextNode.model_validate({"text": text, **fields})


def scored(*nodes: TextNode) -> list[NodeWithScore]:
    return [NodeWithScore(node=n, score=1 / (i + 1)) for i, n in enumerate(nodes)]


NODES = (
    node("Leave is 30 days.", metadata={"file_path": "/srv/a.md"}, start_char_idx=0),
    node("Ask your manager.", metadata={"file_path": "/srv/a.md"}, start_char_idx=1200),
    node("Nine days at most.", metadata={"file_path": "/srv/a.md"}, start_char_idx=90_000),
    node("Trains only.", metadata={"file_path": "/srv/b.md"}),
    node("A note.", id_="chosen/by-hand"),
)


def test_one_order_whatever_the_ranking() -> None:
    """That of the source within one source: not that of the digits of its places."""
    wanted = [n.get_content() for n in canonical(NODES)]
    assert wanted[:3] == ["Leave is 30 days.", "Ask your manager.", "Nine days at most."]
    for ranking in itertools.permutations(NODES):
        found = CanonicalOrder().postprocess_nodes(scored(*ranking), query_str="Which?")
        assert [n.node.get_content() for n in found] == wanted


def test_one_order_in_an_index_that_is_made_again() -> None:
    again = [n.model_copy(update={"id_": TextNode().node_id}) for n in NODES[:4]]
    assert [n.node_id for n in again] != [n.node_id for n in NODES[:4]]
    assert [document_id(n) for n in again] == [document_id(n) for n in NODES[:4]]
    assert [text_of(n) for n in canonical(again[::-1])] == [text_of(n) for n in canonical(NODES[:4])]


def test_each_text_once_and_no_blank_ones() -> None:
    same = node("Trains only.", metadata={"file_path": "/srv/b.md"})
    found = CanonicalOrder().postprocess_nodes(scored(NODES[3], same, node(" \n"), NODES[0]))
    assert [(n.node.node_id, n.score) for n in found] == [(NODES[0].node_id, 0.25), (NODES[3].node_id, 1.0)]


def test_the_text_stands_before_the_metadata_and_nothing_given_is_changed() -> None:
    before = json.dumps([n.to_dict() for n in NODES])
    (found,) = CanonicalOrder().postprocess_nodes(scored(NODES[0]))
    sent = found.node.get_content(metadata_mode=MetadataMode.LLM)
    assert sent == "Leave is 30 days.\n\nfile_path: /srv/a.md" == text_of(NODES[0])
    assert json.dumps([n.to_dict() for n in NODES]) == before


def test_a_template_of_ones_own_stays() -> None:
    own = node("Trains only.", metadata={"a": 1}, text_template="<{metadata_str}> {content}")
    (found,) = CanonicalOrder().postprocess_nodes(scored(own))
    assert found.node.get_content(metadata_mode=MetadataMode.LLM) == "<a: 1> Trains only."


def test_documents_are_nodes_too() -> None:
    handbook = Document(text="Leave is 30 days.", id_="handbook", metadata={"file_path": "x"})
    assert document_id(handbook) == "handbook"
    assert text_of(handbook).startswith("Leave is 30 days.")


def test_ids_are_ids_of_the_proxy() -> None:
    assert document_id(NODES[4]) == "chosen/by-hand"
    odd = [node("x", id_=id_) for id_ in ("../a", "a", "ä", "a b", "a-b", "/a", "a/" * 200, "..", "a//b")]
    ids = [document_id(n) for n in odd]
    assert len(set(ids)) == len(ids)
    for id_ in ids:
        assert 1 <= len(id_) <= 128 and id_[0].isalnum(), id_
        assert not {"", ".", ".."} & set(id_.split("/")), id_
