"""`FakeReplica`: a replica of vLLM without a model, in this process."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import deque
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from aiohttp import web

from kvproxy.fake_replica.event_socket import EventSocket
from kvproxy.fake_replica.fake_engine import FakeEngine
from kvproxy.fake_replica.replica_app import replica_app
from kvproxy.fake_replica.replica_faults import ReplicaFaults
from kvproxy.fake_replica.replica_options import ReplicaOptions
from kvproxy.fake_replica.replica_state import ReplicaState, SeenRequest
from kvproxy.fake_replica.replica_text import BytesText, ReplicaText


class FakeReplica:
    """A server that speaks vLLM 0.32's HTTP and events, with a real block cache and no model.

    Its answer is a function of the prompt's tokens, the same at every replica. Example::

        async with FakeReplica(ReplicaOptions(blocks=64), text=ModelText.load(folder)) as replica:
            replica.faults.reset_after_tokens = 3
    """

    def __init__(
        self,
        options: ReplicaOptions | None = None,
        *,
        text: ReplicaText | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """Open with ``async with``. ``text``: the tokenizer, bytes where none is given; ``port`` 0: a free one.

        Example: ``FakeReplica(ReplicaOptions(model="m"), port=8001)``
        """
        self.options = options or ReplicaOptions()
        self.faults = ReplicaFaults()
        """Faults, which may be set at any time."""
        self._text = text or BytesText()
        self._host, self._port = host, port
        self._opened = AsyncExitStack()
        self._actions: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Bind sockets and listen."""
        async with AsyncExitStack() as stack:
            events, replay = self._endpoints(stack)
            socket = None
            if self.options.events:
                socket = await stack.enter_async_context(
                    EventSocket(
                        events,
                        replay,
                        self.faults,
                        form=self.options.event_form,
                        buffer_steps=self.options.buffer_steps,
                        topic=self.options.topic,
                    )
                )
            engine = FakeEngine(self.options, socket)
            self._state = ReplicaState(self.options, self._text, engine, self.faults, events, replay)
            stack.push_async_callback(self._stop_listening)
            await self._listen()
            self._opened = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop at once: running answers are reset."""
        for action in self._actions:
            action.cancel()
        await self._opened.aclose()

    @property
    def url(self) -> str:
        """The address, without ``/v1``."""
        return f"http://{self._host}:{self._port}"

    @property
    def events_endpoint(self) -> str:
        """The socket that events are published on."""
        return self._state.events_endpoint

    @property
    def replay_endpoint(self) -> str:
        """The socket that answers with missed batches."""
        return self._state.replay_endpoint

    @property
    def engine(self) -> FakeEngine:
        """The engine with its cache and counts."""
        return self._state.engine

    @property
    def requests(self) -> deque[SeenRequest]:
        """Generations that were asked for, the oldest first."""
        return self._state.requests

    def say_next(self, *texts: str) -> None:
        """Make the next generations say ``texts``, raw as a model would, think blocks and tool calls included."""
        self._state.said.extend(texts)

    async def evict(self, blocks: int | bool = True) -> int:
        """Drop so many free blocks, True for all, oldest first; publish it, and return how many there were."""
        dropped = self.engine.cache.evict(None if blocks is True else int(blocks))
        await self.engine.step()
        return dropped

    async def restart(self) -> None:
        """Break off everything and go on as a new process at the same address: empty, with another fingerprint."""
        await self._stop_listening()
        self.engine.forget()
        await self._listen()

    async def refuse(self) -> None:
        """Refuse connections and break off those that there are, until ``accept``."""
        await self._stop_listening()

    async def accept(self) -> None:
        """Listen again at the same address, with the cache as it was."""
        await self._listen()

    def restart_soon(self) -> None:
        """Restart after the answer to the request that asks for it."""
        self._act(self.restart())

    def refuse_for(self, seconds: float) -> None:
        """Refuse connections for ``seconds``, after the answer to the request that asks for it."""
        self._act(self._refused(seconds))

    async def _refused(self, seconds: float) -> None:
        await self.refuse()
        await asyncio.sleep(seconds)
        await self.accept()

    def _act(self, action: Coroutine[None, None, None]) -> None:
        async def after_answer() -> None:
            await asyncio.sleep(
                0.05
            )  # the answer leaves first: there is no sign of when a client has read it
            await action

        task = asyncio.create_task(after_answer())
        self._actions.add(task)
        task.add_done_callback(self._actions.discard)

    async def _listen(self) -> None:
        # Handlers are cancelled when their client leaves, as vLLM aborts such requests.
        self._runner = web.AppRunner(
            replica_app(self._state, self), handler_cancellation=True, shutdown_timeout=0, access_log=None
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def _stop_listening(self) -> None:
        await self._runner.cleanup()

    def _endpoints(self, stack: AsyncExitStack) -> tuple[str, str]:
        folder = Path(tempfile.mkdtemp(prefix="kv-events-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return (
            self.options.events_endpoint or f"ipc://{folder}/events",
            self.options.replay_endpoint or f"ipc://{folder}/replay",
        )
