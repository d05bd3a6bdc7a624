"""`CanonicalOrder`: a node postprocessor that gives prompts the same start."""

from __future__ import annotations

from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle
from typing_extensions import override

from .documents import canonical, text_first


class CanonicalOrder(BaseNodePostprocessor):
    """Postprocessor that puts nodes in one order, independent of their ranking, each with its text first.

    Put it last, behind postprocessors that filter and rank again. Its input is not modified, scores are kept.

    Examples:
        ```python
        from llama_index.llms.kvproxy import CanonicalOrder, qa_template

        engine = index.as_query_engine(
            llm=llm, node_postprocessors=[CanonicalOrder()], text_qa_template=qa_template()
        )
        ```
    """

    @classmethod
    @override
    def class_name(cls) -> str:
        """Return the name that LlamaIndex serialises the class by."""
        return "CanonicalOrder"

    @override
    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        """Return the nodes in canonical order; ``query_bundle`` is ignored, so that every query gives one order."""
        ordered = [node for node in canonical(nodes) if isinstance(node, NodeWithScore)]
        return [NodeWithScore(node=text_first(found.node), score=found.score) for found in ordered]
