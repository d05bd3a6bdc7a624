"""`register_provider`: makes `init_chat_model("kvproxy:…")` work, with this package as a LangChain provider."""

from __future__ import annotations

import importlib
from typing import Any

_NAME, _PACKAGE, _CLASS = "kvproxy", "langchain_kvproxy", "ChatKVProxy"


def register_provider() -> None:
    """Make `kvproxy` a provider of `init_chat_model`, `create_agent` and all else that takes `"provider:model"`.

    LangChain has no public place for providers of other packages. This adds a line to its own table, in this process
    and only when it is called; calling it again changes nothing. Needs `langchain`, the extra `agents`.

    Without it `init_chat_model("openai:…", base_url="http://127.0.0.1:8321/v1", api_key="none")` works too: a
    `ChatOpenAI`, which sends documents that `KVDocumentsMiddleware` or `place_documents` put into the prompt.

    Raises:
        ImportError: `langchain` is not installed.
        RuntimeError: This version of langchain keeps its providers in another way.

    Use:
        ```python
        from langchain.chat_models import init_chat_model
        from langchain_kvproxy import register_provider

        register_provider()
        model = init_chat_model("kvproxy:smollm2-135m", temperature=0)
        assert type(model).__name__ == "ChatKVProxy"
        ```

    Chosen for each run:
        ```python
        chosen = init_chat_model("kvproxy:smollm2-135m", configurable_fields=("model", "model_provider"))
        chosen.invoke("Hello", config={"configurable": {"model": "smollm2-135m", "model_provider": "kvproxy"}})
        ```
    """
    try:
        base: Any = importlib.import_module("langchain.chat_models.base")
    except ImportError as e:
        raise ImportError("init_chat_model is langchain's: pip install 'langchain-kvproxy[agents]'") from e
    table = getattr(base, "_BUILTIN_PROVIDERS", None)
    openai = table.get("openai") if isinstance(table, dict) else None
    if not (isinstance(table, dict) and isinstance(openai, tuple) and len(openai) == 3):
        raise RuntimeError(
            "this version of langchain keeps its providers in a way that langchain-kvproxy does not know; "
            "use ChatKVProxy, or init_chat_model('openai:…', base_url=…)"
        )
    table.setdefault(_NAME, (_PACKAGE, _CLASS, openai[2]))
