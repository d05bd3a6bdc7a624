"""Two questions about a text, retrieved in pieces that are published once: python examples/ask.py FILE"""

from __future__ import annotations

import sys
from pathlib import Path

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import BaseNode, Document, NodeWithScore, QueryBundle
from llama_index.llms.kvproxy import (
    CanonicalOrder,
    KVProxy,
    KVProxyUsage,
    document_id,
    publish_nodes,
    qa_template,
)

QUESTIONS = ("What is this text about?", "Who is it written for?")


class ByWords(BaseRetriever):
    """Ranks by the letters that a node shares with the question: needs no embeddings, and is no better than that."""

    def __init__(self, nodes: list[BaseNode]) -> None:
        self.nodes = nodes
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        words = set(query_bundle.query_str.lower().split())
        scored = [
            NodeWithScore(node=n, score=float(sum(map(n.get_content().lower().count, words))))
            for n in self.nodes
        ]
        return sorted(scored, key=lambda found: found.score or 0.0, reverse=True)[:2]


def main(path: str) -> None:
    llm = KVProxy(temperature=0.0, max_tokens=24)
    source = Document(text=Path(path).read_text(encoding="utf-8"), id_=f"examples/{Path(path).name}")
    nodes = SentenceSplitter(chunk_size=400, chunk_overlap=0).get_nodes_from_documents([source])[:2]
    engine = RetrieverQueryEngine.from_args(
        ByWords(nodes), llm=llm, node_postprocessors=[CanonicalOrder()], text_qa_template=qa_template()
    )
    try:
        print("published:", ", ".join(p.reference for p in publish_nodes(nodes, visibility="private")))
        engine.query("Anything?")  # the second node behind the first is computed once, too
        for question in QUESTIONS:
            usage = KVProxyUsage()
            get_dispatcher().add_event_handler(usage)
            print(f"\n{question}\n{engine.query(question)}\n{usage}")
            get_dispatcher().event_handlers.remove(usage)
    finally:
        for node in nodes:
            llm.documents.delete(document_id(node))


if __name__ == "__main__":
    main(sys.argv[1])
