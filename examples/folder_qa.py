"""Question answering over a folder of documents with a retriever, three times in one run:

1. plain: the retriever as it is, best match first, and ChatOpenAI. Another question's prefill is reused where
   two prompts begin alike, which they seldom do.
2. nothing reused: exactly the prompts of the third, each computed as if it were the first.
3. wrapped: the retriever in a KVProxyRetriever, its documents published, and ChatKVProxy. The answers are those of 2.

    python examples/folder_qa.py                 # 8 documents, 9 questions
    python examples/folder_qa.py --full          # 20 documents, 30 questions: some minutes on two cores
    python examples/folder_qa.py --folder notes --documents 50 --ask "Who waters the plants?"
"""

from __future__ import annotations

import argparse
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _keywords import KeywordRetriever, cut
from _proxy import DOCUMENTS, Endpoint, proxy
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.prompt_values import PromptValue
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnablePassthrough
from langchain_openai import ChatOpenAI

from langchain_kvproxy import (
    ChatKVProxy,
    DocumentUnknown,
    KVProxyClient,
    KVProxyRetriever,
    KVProxyUsageHandler,
    document_id,
    document_prompt,
    publish_documents,
)

INSTRUCTIONS = "Answer in one sentence from the text above."
QUESTIONS = (
    "What does the license say about patents?",
    "Which patent claims of a contributor are licensed?",
    "Does a patent license end when somebody starts patent litigation?",
    "Is there any warranty for the program?",
    "Who is liable for damages?",
    "May somebody charge a fee for warranty or liability?",
    "How is a covered work conveyed in object code form?",
    "Must the Corresponding Source be offered with the object code?",
    "For how long is the Corresponding Source offered?",
    "What is a User Product?",
    "What installation information comes with a User Product?",
    "Must modified object code be installed in a User Product?",
    "When are the rights under the license terminated?",
    "Are rights reinstated after a violation is cured?",
    "What happens to copies of others when rights are terminated?",
    "What are additional permissions?",
    "Which additional terms may supplement the license?",
    "Which further restrictions may be removed?",
    "Who may use the trademarks of the Licensor?",
    "What must a NOTICE file contain?",
    "Must modified files carry notices?",
    "What is a Contribution?",
    "Who is a Contributor?",
    "What is a Derivative Work?",
    "How are the terms applied to a new program?",
    "Where does the copyright notice of a program stand?",
    "What does an interactive program print when it starts?",
    "What does the word propagate mean?",
    "What are System Libraries?",
    "What is the source code of a work?",
)


@dataclass(frozen=True, slots=True)
class Run:
    name: str
    answers: list[str]
    seconds: float
    prompt_tokens: int
    cached_tokens: int

    def __str__(self) -> str:
        share = self.cached_tokens / self.prompt_tokens
        return f"{self.name:<16}{self.prompt_tokens:>10,}{self.cached_tokens:>10,}{share:>8.1%}{self.seconds:>10.2f} s"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    arguments.add_argument("--folder", type=Path, default=DOCUMENTS, help="of .txt and .md files")
    arguments.add_argument("--documents", type=int, default=8, help="how many of the pieces of these files")
    arguments.add_argument("--questions", type=int, default=9, help=f"how many of the {len(QUESTIONS)}")
    arguments.add_argument("--ask", action="append", help="a question of your own; again for more")
    arguments.add_argument("--full", action="store_true", help="20 documents, 30 questions")
    arguments.add_argument("-k", type=int, default=2, help="documents for each question")
    arguments.add_argument("--max-tokens", type=int, default=16, help="of each answer")
    given = arguments.parse_args()
    documents = cut(given.folder, 20 if given.full else given.documents)
    questions = given.ask or QUESTIONS[: 30 if given.full else given.questions]
    with proxy() as kv:
        run(kv, KeywordRetriever(documents=documents, k=given.k), questions, given.max_tokens)


def run(kv: Endpoint, retriever: KeywordRetriever, questions: Sequence[str], max_tokens: int) -> None:
    count = len(retriever.documents)
    print(f"{count} documents, {len(questions)} questions, {retriever.k} documents for each")
    settings: dict[str, Any] = {"model": kv.model, "base_url": kv.base_url, "api_key": kv.api_key}
    settings |= {"temperature": 0, "max_tokens": max_tokens, "max_retries": 0}
    stock, ours = ChatOpenAI(**settings), ChatKVProxy(**settings)
    usage = KVProxyUsageHandler()
    with KVProxyClient(kv.url, kv.api_key) as client:
        forget(client, retriever.documents)
        stock.invoke("Say hello.", extra_body=apart())  # the first request of all opens connections
        plain = plain_chain(retriever, stock.bind(extra_body=apart()))
        runs = [asked("plain", plain.invoke, questions)]
        runs.append(asked("nothing reused", nothing_reused(client, retriever, stock, questions), questions))
        try:
            started = time.perf_counter()
            print(publish_documents(retriever.documents, client=client, visibility="private"))
            publishing_s = time.perf_counter() - started
            with KVProxyRetriever(retriever=retriever, client=client) as wrapped:
                chain = prompt_of(wrapped) | ours.bind(cache_salt=uuid.uuid4().hex)
                runs.append(asked("wrapped", chain.with_config(callbacks=[usage]).invoke, questions))
        finally:
            forget(client, retriever.documents)
    report(runs, publishing_s, usage)


def prompt_of(retriever: KVProxyRetriever) -> Runnable[str, PromptValue]:
    """Return a prompt with documents by text, so that the same can be sent while nothing is published.

    The default is by reference.
    """
    inputs = {"documents": retriever, "question": RunnablePassthrough()}
    return inputs | document_prompt(INSTRUCTIONS, by="text")


def nothing_reused(
    client: KVProxyClient, retriever: KeywordRetriever, model: ChatOpenAI, questions: Sequence[str]
) -> Callable[[str], AIMessage]:
    """Return a chain with the wrapped run's prompts and no reuse.

    The prompts are the same, since a wrapper that gets the same questions comes to the same order.
    """
    with KVProxyRetriever(retriever=retriever, register="never", client=client) as wrapped:
        prompts = {question: prompt_of(wrapped).invoke(question) for question in questions}
    return lambda question: model.invoke(prompts[question], extra_body=apart())


def forget(client: KVProxyClient, documents: Iterable[Document]) -> None:
    for document in documents:
        with suppress(DocumentUnknown):
            client.delete(document_id(document))


def plain_chain(retriever: KeywordRetriever, model: Runnable[Any, AIMessage]) -> Runnable[str, AIMessage]:
    """Return the chain of the usual tutorials, with the retriever as it is."""

    def joined(documents: Iterable[Document]) -> str:
        return "\n\n".join(document.page_content for document in documents)

    prompt = ChatPromptTemplate([("system", "{documents}\n\n" + INSTRUCTIONS), ("human", "{question}")])
    return {"documents": retriever | joined, "question": RunnablePassthrough()} | prompt | model


def asked(name: str, answer_to: Callable[[str], AIMessage], questions: Sequence[str]) -> Run:
    """Ask one question after the other."""
    print(f"{name} …", flush=True)
    started = time.perf_counter()
    answers = [answer_to(question) for question in questions]
    seconds = time.perf_counter() - started
    usages = [answer.usage_metadata for answer in answers if answer.usage_metadata is not None]
    prompt = sum(usage["input_tokens"] for usage in usages)
    cached = sum(usage["input_token_details"].get("cache_read", 0) for usage in usages)
    return Run(name, [answer.text for answer in answers], seconds, prompt, cached)


def apart() -> dict[str, str]:
    """Return a fresh cache_salt, so that the three runs do not reuse each other's prefill.

    Requests with different salts share published documents only. A program of yours needs none.
    """
    return {"cache_salt": uuid.uuid4().hex}


def report(runs: Sequence[Run], publishing_s: float, usage: KVProxyUsageHandler) -> None:
    plain, cold, wrapped = runs
    print(f"\n{'':<16}{'prompt':>10}{'cached':>10}{'share':>8}{'wall':>12}")
    for run in runs:
        print(run)
    equal = sum(a == b for a, b in zip(cold.answers, wrapped.answers, strict=True))
    print(f"\nequal answers, reused or not: {equal} of {len(cold.answers)}")
    print(f"saved: {wrapped.cached_tokens:,} of {wrapped.prompt_tokens:,} prompt tokens were cached")
    for run in (cold, plain):
        ratio = run.seconds / wrapped.seconds
        print(f"saved: {wrapped.seconds:.2f} s instead of {run.seconds:.2f} s ({run.name}), {ratio:.2f}x")
    print(f"publishing took {publishing_s:.2f} s, once for all who ask")
    print(usage.summary())


if __name__ == "__main__":
    main()
