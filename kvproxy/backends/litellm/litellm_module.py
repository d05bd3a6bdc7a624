"""litellm as one process has it: its module, its loop, its one pool of connections, and ways around its wrappers.

Importing litellm takes seconds and 160 MB, and by default fetches a price list and reads ``.env``; the
environment variables set here turn both off and must be set before.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from kvproxy.backends.litellm.bounded_transport import bounded
from kvproxy.backends.litellm.litellm_loop import UpstreamLoop
from kvproxy.backends.raw.small_reads import SmallReads
from kvproxy.errors import cut

LOOP = UpstreamLoop()
"""The loop of all litellm calls, for all backends of the process."""

SEARCHED = 1024
"""Characters of an error's text that litellm may search for secrets."""

KEPT = 2**14
"""Characters of each text in one of litellm's exceptions; an upstream's error object can be read from one."""


def load() -> Any:
    """Import litellm, offline and quiet. Takes seconds."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_MODE"] = "PRODUCTION"
    import litellm

    # litellm is set up through attributes of its module, not all of which its types export.
    module: Any = litellm
    _bound_answers(module)
    module.suppress_debug_info = True
    module.telemetry = False
    module.REPEATED_STREAMING_CHUNK_LIMIT = sys.maxsize
    # Embeddings are otherwise asked three times: a retry is the client's to decide.
    module.DEFAULT_MAX_RETRIES = 0
    # Many upstreams of OpenAI's dialect have no /v1/responses, which messages would else be translated to.
    module.use_chat_completions_url_for_anthropic_messages = True
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        # Its errors come back as exceptions; its log would repeat them with prompts and tracebacks.
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return module


def _bound_answers(litellm: Any) -> None:
    """Every provider's answers through :mod:`kvproxy.backends.litellm.bounded_transport`, and the texts of errors cut.

    litellm searches them with some thirty patterns on the event loop, holding the interpreter's lock, so no thread
    would help: the one for secrets takes seconds for 60 kB of ``://``, which an upstream or a client may have written.
    """
    from litellm.litellm_core_utils import secret_redaction
    from litellm.llms.base_llm.chat.transformation import BaseLLMException
    from litellm.llms.custom_httpx import aiohttp_transport, http_handler

    transports: Any = aiohttp_transport
    handler: Any = http_handler.AsyncHTTPHandler
    redaction: Any = secret_redaction
    if hasattr(transports.LiteLLMAiohttpTransport, "kvproxy_limits"):
        return
    transports.LiteLLMAiohttpTransport = bounded(transports.LiteLLMAiohttpTransport)
    transports_module: Any = http_handler
    transports_module.TCPConnector = SmallReads
    # The environment can ask for httpx's own transport instead, whose answers nothing would bound.
    handler._should_use_aiohttp_transport = staticmethod(lambda: True)
    for name in ("_python_redact_string", "_python_redact_internal_details"):
        setattr(redaction, name, _of_cut_texts(getattr(redaction, name), SEARCHED))
    for kind in (BaseLLMException, *litellm.LITELLM_EXCEPTION_TYPES):
        if "__init__" in vars(kind):
            kind.__init__ = _of_cut_texts(kind.__init__, KEPT)


def _of_cut_texts(function: Callable[..., Any], most: int) -> Callable[..., Any]:
    def called(*args: Any, **named: Any) -> Any:
        return function(
            *(cut(x, most) if isinstance(x, str) else x for x in args),
            **{name: cut(x, most) if isinstance(x, str) else x for name, x in named.items()},
        )

    return wraps(function)(called)


def underneath(events: Any) -> Any:
    """Return the openai client's own stream, where litellm's is a wrapper around it: the upstream's own chunks, at a
    third of the time. litellm's wrapper costs 0.4 ms a chunk and drops fields that it has no name for."""
    from openai import AsyncStream

    inner = getattr(events, "completion_stream", None)
    return inner if isinstance(inner, AsyncStream) else events


async def translated_messages(**call: Any) -> Any:
    """``/v1/messages`` by way of chat completions, whatever the upstream's own dialect."""
    from litellm.llms.anthropic.pass_through.adapters import handler

    return await handler.LiteLLMMessagesToCompletionTransformationHandler.async_anthropic_messages_handler(
        **call
    )


def share_client(litellm: Any) -> Any:
    """One connection pool for all upstreams of OpenAI's dialect; None when this process has one already.

    Streamed text completions would else open a pool for each request, and never close it.
    """
    if litellm.aclient_session is not None:
        return None
    from litellm.llms.openai.common_utils import BaseOpenAILLM

    litellm.aclient_session = BaseOpenAILLM._get_async_http_client()
    return litellm.aclient_session


async def close_clients(litellm: Any, client: Any) -> None:
    """litellm caches its clients per process; its own clean-up at exit runs when their loop is gone."""
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

    await GLOBAL_LOGGING_WORKER.stop()
    if client is not None:
        litellm.aclient_session = None
        await client.aclose()
    await litellm.close_litellm_async_clients()
    if (lasting := vars(litellm).get("module_level_aclient")) is not None:
        # Anthropic's streams keep one for the process, which the next backend reads through: only its session closes.
        await lasting.client._transport.aclose()
    litellm.in_memory_llm_clients_cache.flush_cache()
