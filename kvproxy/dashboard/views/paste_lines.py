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
    asked = _quoted(question)
    part = f'[{{"type": "kv_document", "document": "{document}"}}]'
    key = 'os.environ["KVPROXY_API_KEY"]' if keyed else '"none"'
    imports = "import os\n\n" if keyed else ""
    header = ' -H "Authorization: Bearer $KVPROXY_API_KEY"' if keyed else ""
    curl = f"""curl {root}/v1/chat/completions{header} -H 'Content-Type: application/json' -d @- <<'EOF'
{{"model": "{model}",
 "messages": [
   {{"role": "system", "content": {part}}},
   {{"role": "user", "content": "{asked}"}}]}}
EOF"""
    openai = f"""{imports}from openai import OpenAI

client = OpenAI(base_url="{root}/v1", api_key={key})
answer = client.chat.completions.create(
    model="{model}",
    messages=[
        {{"role": "system", "content": {part}}},
        {{"role": "user", "content": "{asked}"}},
    ],
)
print(answer.choices[0].message.content)
print(answer.usage.prompt_tokens_details.cached_tokens, "of", answer.usage.prompt_tokens, "tokens were kept")"""
    langchain = f"""{imports}from langchain_kvproxy import ChatKVProxy

model = ChatKVProxy(
    model="{model}",
    base_url="{root}/v1",
    api_key={key},
    documents=["{document}"],
)
answer = model.invoke("{asked}")
print(answer.content)
print(answer.usage_metadata["input_token_details"]["cache_read"], "tokens were kept")"""
    # The store's own document is the reference alone: a reader by a grant has no text to put into it.
    retriever = f"""{imports}from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import HumanMessage
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_kvproxy import ChatKVProxy, KVProxyRetriever, place_documents

proxy = {{"base_url": "{root}/v1", "api_key": {key}}}
store = InMemoryVectorStore(DeterministicFakeEmbedding(size=16))  # in place of your own store and embeddings
store.add_documents([Document("", metadata={{"kvproxy_document": "{document}"}})])
retriever = KVProxyRetriever(retriever=store.as_retriever(), register="never", **proxy)

question = "{asked}"
prompt = place_documents([HumanMessage(question)], retriever.invoke(question))
answer = ChatKVProxy(model="{model}", **proxy).invoke(prompt)
print(answer.content)
print(answer.usage_metadata["input_token_details"]["cache_read"], "tokens were kept")"""
    return (
        PasteLines("paste-curl", "curl", curl),
        PasteLines("paste-openai", "openai for Python", openai),
        PasteLines("paste-langchain", "LangChain: chat model", langchain),
        PasteLines("paste-retriever", "LangChain: retriever", retriever),
    )


def _quoted(text: str) -> str:
    """Return a text as it stands between the double quotes of JSON, of Python and of the shell's here-document."""
    kept = " ".join(text.split())
    return kept.replace("\\", "\\\\").replace('"', '\\"')
