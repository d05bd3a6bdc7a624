"""The demo: two real documents, three questions each, asked cold, warm, and after a restart.

It drives a proxy of its own with the stock openai client, so it measures the times that an agent would see.
"""

from __future__ import annotations

import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import yaml
from rich.table import Table

from kvproxy.cli.demo_proxy import DemoProxy
from kvproxy.client import Client
from kvproxy.errors import KVProxyError
from kvproxy.example_documents import EXAMPLES, example_text
from kvproxy.terminal.progress import Progress
from kvproxy.terminal.tables import console

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletionMessageParam

MODEL = "smollm2-135m"
MAX_TOKENS = 48


@dataclass(frozen=True, slots=True)
class DemoAnswer:
    """An answer, its TTFT in seconds, and its token counts."""

    text: str
    ttft_s: float
    """From sending the request to the first piece of text."""
    prompt_tokens: int
    cached_tokens: int
    cache_status: str

    @property
    def hit(self) -> bool:
        """True when prompt tokens came from kept KV."""
        return self.cached_tokens > 0 and "; hit" in self.cache_status


@dataclass(frozen=True, slots=True)
class DemoRow:
    """One question, asked cold and warm."""

    document: str
    question: str
    cold: DemoAnswer
    warm: DemoAnswer

    @property
    def equal(self) -> bool:
        """True when both answers are the same text."""
        return self.cold.text == self.warm.text

    @property
    def ratio(self) -> float:
        """Cold TTFT over warm TTFT."""
        return self.cold.ttft_s / self.warm.ttft_s


def run_demo(command: Sequence[str] | None = None, prepare: Callable[[], None] | None = None) -> int:
    """Run it all; 0 when every warm answer was a hit and equal to its cold one.

    ``command`` starts a proxy when ``serve --config FILE --announce-file FILE`` is appended.
    """
    command = command or (sys.executable, "-m", "kvproxy")
    texts = {d.id: example_text(d.file) for d in EXAMPLES}
    (prepare or _prepare_model)()
    try:
        with _sigterm_unwinds(), tempfile.TemporaryDirectory(prefix="kvproxy-demo-") as folder:
            return _run(command, Path(folder), texts)
    except KeyboardInterrupt:
        _say("stopped")
        return 130


def _run(command: Sequence[str], folder: Path, texts: dict[str, str]) -> int:
    # A fresh tenant for every question, so that nobody profits from an earlier one except by what is public.
    questions = sum(len(d.questions) for d in EXAMPLES)
    keys = [secrets.token_hex(16) for _ in range(2 * questions + 3)]
    config = _write_config(folder, keys)
    publisher, stranger, *readers = keys
    reader = iter(readers)
    _say("starting the proxy")
    with DemoProxy(command, config, folder) as proxy:
        client = _openai(proxy.url, stranger)
        _ask(client, stranger, None, "Say hello.")  # what a first miss imports is not a prefill
        cold = {}
        for document in EXAMPLES:
            for question in document.questions:
                _say(f"cold: {document.id}, {question}")
                cold[question] = _ask(client, next(reader), texts[document.id], question)
        for document in EXAMPLES:
            _publish(proxy.url, publisher, document.id, texts[document.id])
        rows = []
        for document in EXAMPLES:
            for question in document.questions:
                warm = _ask(client, next(reader), texts[document.id], question)
                rows.append(DemoRow(document.id, question, cold[question], warm))
        _print_rows(rows)
        _say("restarting the proxy")
        proxy.restart()
        last = EXAMPLES[-1]
        client = _openai(proxy.url, stranger)
        again = _ask(client, next(reader), texts[last.id], last.questions[0])
    rows.append(DemoRow(last.id, last.questions[0], cold[last.questions[0]], again))
    _say(
        f"first question after the restart: {last.id}, "
        f"{again.cached_tokens:,} of {again.prompt_tokens:,} tokens cached, TTFT {again.ttft_s:.3f} s, "
        f"Cache-Status: {again.cache_status}"
    )
    return _verdict(rows)


def _verdict(rows: Sequence[DemoRow]) -> int:
    faults = [f"{r.document}, {r.question}: the answers differ" for r in rows if not r.equal]
    faults += [f"{r.document}, {r.question}: no hit ({r.warm.cache_status})" for r in rows if not r.warm.hit]
    for fault in faults:
        _say(f"FAILED: {fault}")
    if faults:
        return 1
    program = Path(sys.executable).parent / "kvproxy"
    _say("\nPoint your own agent at it:")
    _say(f"  {program} serve --model {MODEL}")
    _say("  export OPENAI_BASE_URL=http://127.0.0.1:8321/v1 OPENAI_API_KEY=none")
    return 0


def _ask(client: OpenAI, api_key: str, document: str | None, question: str) -> DemoAnswer:
    """One streamed, greedy question; the document stands at the head of the system message."""
    from openai import OpenAIError

    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": question}]
    if document is not None:
        messages.insert(0, {"role": "system", "content": document})
    tenant = client.with_options(api_key=api_key)
    try:
        tenant.models.list()  # a connection is open when the clock starts
        return _stream(tenant, messages)
    except OpenAIError as e:
        raise KVProxyError(f"the proxy did not answer a question: {e}") from e


def _stream(client: OpenAI, messages: list[ChatCompletionMessageParam]) -> DemoAnswer:
    started = time.perf_counter()
    first = None
    parts: list[str] = []
    usage = None
    with client.chat.completions.with_streaming_response.create(
        model=MODEL,
        messages=messages,
        temperature=0,
        max_tokens=MAX_TOKENS,
        stream=True,
        stream_options={"include_usage": True},
    ) as response:
        for chunk in response.parse():
            if chunk.choices and chunk.choices[0].delta.content:
                first = first or time.perf_counter()
                parts.append(chunk.choices[0].delta.content)
            usage = chunk.usage or usage
        status = response.headers.get("cache-status", "")
    if usage is None or usage.prompt_tokens_details is None:
        raise KVProxyError("the proxy sent no usage at the end of a stream")
    return DemoAnswer(
        text="".join(parts),
        ttft_s=(first or time.perf_counter()) - started,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.prompt_tokens_details.cached_tokens or 0,
        cache_status=status,
    )


def _openai(url: str, api_key: str) -> OpenAI:
    import httpx
    from openai import OpenAI

    # No retries: they would hide a failure in a longer time. trust_env: no proxy between us and loopback.
    http = httpx.Client(trust_env=False, timeout=httpx.Timeout(600.0))
    return OpenAI(base_url=f"{url}/v1", api_key=api_key, max_retries=0, http_client=http)


def _publish(url: str, api_key: str, document: str, text: str) -> None:
    with Client(url, api_key) as client, Progress(f"publish {document}") as progress:
        result = client.publish(document, text, visibility="public", progress=progress)
    info, seconds = result["info"], result["prefill_s"]
    _say(f"published {info['id']}@{info['version']}: {info['tokens']:,} tokens in {seconds:.1f} s")


def _write_config(folder: Path, keys: Sequence[str]) -> Path:
    config = {
        "server": {"port": 0, "api_keys": [{"name": f"tenant-{i}", "key": k} for i, k in enumerate(keys)]},
        "model": {"path": MODEL, "name": MODEL},
        "store": {"path": str(folder / "store")},
        "documents": {"framings": [{"place": "system"}]},
    }
    path = folder / "config.yaml"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def _print_rows(rows: Sequence[DemoRow]) -> None:
    table = Table(title=f"{MODEL}, greedy, {MAX_TOKENS} tokens, cold against warm")
    table.add_column("document")
    table.add_column("question")
    for name in ("prompt tokens", "cached tokens", "TTFT cold", "TTFT warm", "ratio", "answers equal"):
        table.add_column(name, justify="right")
    for r in rows:
        table.add_row(
            r.document,
            r.question,
            f"{r.warm.prompt_tokens:,}",
            f"{r.warm.cached_tokens:,}",
            f"{r.cold.ttft_s:.3f} s",
            f"{r.warm.ttft_s:.3f} s",
            f"{r.ratio:.1f}x",
            "yes" if r.equal else "NO",
        )
    console().print(table)


def _say(line: str) -> None:
    console().print(line, markup=False, highlight=False, soft_wrap=True)


def _prepare_model() -> None:
    """Convert it here, where its progress can be seen, rather than in the proxy's log."""
    from kvproxy.config import default_cache_dir
    from kvproxy.engine.models.source import resolve_model

    with Progress(f"converting {MODEL}", unit="tensors") as progress:
        resolve_model(MODEL, cache_dir=default_cache_dir(), progress=progress)


@contextmanager
def _sigterm_unwinds() -> Iterator[None]:
    """SIGTERM ends the ``with`` blocks as Ctrl-C does, so that the proxy and the folders go too."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
