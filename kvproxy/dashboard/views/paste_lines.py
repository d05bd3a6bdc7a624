"""`paste_lines`: what to paste into a shell, a program or an agent, to ask about one document here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PasteLines:
    """One client's lines."""

    id: str
    """Of the element that they are in."""
    client: str
    text: str


def paste_lines(root: str, model: str, document: str, question: str, *, keyed: bool) -> Sequence[PasteLines]:
    """Return the lines of each client. ``root``: this proxy as the browser reached it. ``keyed``: whether a key is
    needed, which is read from ``KVPROXY_API_KEY`` and never written down.

    Example: ``paste_lines("http://127.0.0.1:8321", "qwen3-4b", "handbook@3", "Who signs?", keyed=True)``
    """
    asked = _Asked(root, model, document, _quoted(question), keyed)
    return (
        PasteLines("paste-curl", "curl", _curl(asked)),
        PasteLines("paste-openai", "openai for Python", _openai(asked)),
        PasteLines("paste-langchain", "LangChain: chat model", _chat_model(asked)),
        PasteLines("paste-retriever", "LangChain: retriever", _retriever(asked)),
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    root: str
    model: str
    document: str
    question: str
    """Quoted."""
    keyed: bool

    @property
    def part(self) -> str:
        return f'[{{"type": "kv_document", "document": "{self.document}"}}]'

    @property
    def key(self) -> str:
        return 'os.environ["KVPROXY_API_KEY"]' if self.keyed else '"none"'

    @property
    def imports(self) -> str:
        return "import os\n\n" if self.keyed else ""


def _curl(asked: _Asked) -> str:
    header = ' -H "Authorization: Bearer $KVPROXY_API_KEY"' if asked.keyed else ""
    return f"""curl {asked.root}/v1/chat/completions{header} -H 'Content-Type: application/json' -d @- <<'EOF'
{{"model": "{asked.model}",
 "messages": [
   {{"role": "system", "content": {asked.part}}},
   {{"role": "user", "content": "{asked.question}"}}]}}
EOF"""


def _openai(asked: _Asked) -> str:
    return f"""{asked.imports}from openai import OpenAI

client = OpenAI(base_url="{asked.root}/v1", api_key={asked.key})
answer = client.chat.completions.create(
    model="{asked.model}",
    messages=[
        {{"role": "system", "content": {asked.part}}},
        {{"role": "user", "content": "{asked.question}"}},
    ],
)
print(answer.choices[0].message.content)
print(answer.usage.prompt_tokens_details.cached_tokens, "of", answer.usage.prompt_tokens, "tokens were kept")"""


def _chat_model(asked: _Asked) -> str:
    return f"""{asked.imports}from langchain_kvproxy import ChatKVProxy

model = ChatKVProxy(
    model="{asked.model}",
    base_url="{asked.root}/v1",
    api_key={asked.key},
    documents=["{asked.document}"],
)
answer = model.invoke("{asked.question}")
{_TOLD}"""


def _retriever(asked: _Asked) -> str:
    # The store's own document is the reference alone: a reader by a grant has no text to put into it.
    return f"""{asked.imports}from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import HumanMessage
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_kvproxy import ChatKVProxy, KVProxyRetriever, place_documents

proxy = {{"base_url": "{asked.root}/v1", "api_key": {asked.key}}}
store = InMemoryVectorStore(DeterministicFakeEmbedding(size=16))  # in place of your own store and embeddings
store.add_documents([Document("", metadata={{"kvproxy_document": "{asked.document}"}})])
retriever = KVProxyRetriever(retriever=store.as_retriever(), register="never", **proxy)

question = "{asked.question}"
prompt = place_documents([HumanMessage(question)], retriever.invoke(question))
answer = ChatKVProxy(model="{asked.model}", **proxy).invoke(prompt)
{_TOLD}"""


_TOLD = """print(answer.content)
print(answer.usage_metadata["input_token_details"]["cache_read"], "tokens were kept")"""


def _quoted(text: str) -> str:
    """Return a text as it stands between the double quotes of JSON, of Python and of the shell's here-document."""
    kept = " ".join(text.split())
    return kept.replace("\\", "\\\\").replace('"', '\\"')
