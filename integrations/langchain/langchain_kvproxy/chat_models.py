"""`ChatKVProxy`: the chat model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from langchain_core.language_models import LangSmithParams, LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import BaseModel, Field
from typing_extensions import override

from langchain_kvproxy._arguments import EXTRA_BODY_ADVICE, refuse_unknown, request_fields
from langchain_kvproxy._content_parts import as_sent
from langchain_kvproxy._paying_chat import PayingChat
from langchain_kvproxy._request_payload import add_reasoning, prompt_body
from langchain_kvproxy._tool_documents import lifted
from langchain_kvproxy.prompts import By, DocumentLike, place_documents

Tool = dict[str, Any] | type | Callable[..., Any] | BaseTool
Schema = dict[str, Any] | type


class ChatKVProxy(PayingChat):
    """Chat model of a [kvproxy](https://pypi.org/project/kvproxy/), with documents in front and cached tokens reported.

    Setup:
        Install `langchain-kvproxy` and start a proxy.

        ```bash
        pip install -U langchain-kvproxy
        kvproxy serve
        export KVPROXY_BASE_URL="http://127.0.0.1:8321" KVPROXY_API_KEY="your-key"
        ```

    Key init args — completion params:
        model:
            Name of a model that the proxy serves. May be left out where it serves only one; the name is then
            requested once.
        documents:
            The start of every prompt: references to published documents (`"handbook"`, `"handbook@3"`),
            LangChain `Document`s, or texts.
        temperature:
            Sampling temperature.
        max_tokens:
            Max number of tokens to generate.
        cache_salt:
            Requests with another salt, or none, share nothing with these but published documents.

    Key init args — client params:
        base_url:
            The proxy, with or without `/v1`. If not passed in will be read from env var `KVPROXY_BASE_URL`,
            then `http://127.0.0.1:8321`.
        api_key:
            If not passed in will be read from env var `KVPROXY_API_KEY`; proxies without keys need none.
        timeout:
            Timeout for requests.
        max_retries:
            Max number of retries.

    See full list of supported init args and their descriptions in the params section.

    Instantiate:
        ```python
        from langchain_kvproxy import ChatKVProxy

        model = ChatKVProxy(model="...", temperature=0, max_tokens=64)
        ```

    Invoke:
        ```python
        messages = [
            ("system", "You translate English to French."),
            ("human", "I love programming."),
        ]
        print(model.invoke(messages).content)
        ```

    Documents:
        They are put at the head of the system message, where nothing that varies precedes them.

        ```python
        from langchain_core.documents import Document

        leave = Document("Every employee has thirty days of leave a year")
        model.invoke("How many days of leave do I have?", documents=[leave])
        about_leave = model.bind(documents=[leave])
        about_leave.invoke("And how many weeks are that?")
        ```

    Stream:
        ```python
        for chunk in model.stream(messages):
            print(chunk.text, end="", flush=True)
        ```

    Async:
        ```python
        await model.ainvoke(messages)

        async for chunk in model.astream(messages):
            print(chunk.text, end="", flush=True)

        await model.abatch([messages])
        ```

    Tool calling:
        A `tool_choice` of `"any"` or a tool's name is enforced while sampling, and so are `strict` tools.

        ```python
        from pydantic import BaseModel, Field


        class GetWeather(BaseModel):
            \"\"\"Get the current weather in a given location\"\"\"

            location: str = Field(description="The city and state, e.g. San Francisco, CA")


        model_with_tools = model.bind_tools([GetWeather], tool_choice="any")
        model_with_tools.invoke("What is the weather in LA?").tool_calls
        ```

    Structured output:
        The answer is held to the schema's grammar.

        ```python
        from typing import Literal


        class Verdict(BaseModel):
            \"\"\"Whether a claim is true\"\"\"

            verdict: Literal["true", "false"]


        model.with_structured_output(Verdict).invoke("Water is wet.")
        ```

    Token usage:
        The tokens read from the cache, and those written to it for later requests, streamed or not.

        ```python
        answer = model.invoke(messages)
        answer.usage_metadata["input_token_details"]["cache_read"]
        answer.usage_metadata["input_token_details"]["cache_creation"]
        ```

    Response metadata:
        The outcome, hit or miss, with the document or the reason.

        ```python
        answer.response_metadata["kvproxy"]
        ```

        ```
        {'status': 'hit', 'reason': None, 'document': 'handbook', 'version': 3, 'tokens': 3774, 'exact': True,
         'timings_ms': {'match': 0.4, 'queue': 0.1, 'load': 0.0, 'prefill': 21.7, 'proxy': 1.2}}
        ```

    Token counting:
        By the proxy's own tokenizer and chat template; nothing is downloaded.

        ```python
        model.get_num_tokens("How many tokens are this?")
        model.get_num_tokens_from_messages([("human", "Hello")])
        ```
    """

    documents: list[DocumentLike] = Field(default_factory=list)
    """The start of every prompt. Documents of an invocation replace these, they are not added."""
    cache_salt: str | None = None
    """Separates requests: those with different salts share published documents only. Most need none."""
    documents_by: By = "reference"
    """Whether documents that have a reference in their metadata are sent as one, or as text."""

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Return the environment variable that replaces the API key in serialised models."""
        return {"openai_api_key": "KVPROXY_API_KEY"}

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return True: LangChain may serialise the model."""
        return True

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Return the path of this module, for serialised models."""
        return ["langchain_kvproxy", "chat_models"]

    @property
    def _llm_type(self) -> str:
        return "kvproxy-chat"

    @property
    @override
    def _identifying_params(self) -> dict[str, Any]:
        return {**super()._identifying_params, "documents": self.documents}

    @override
    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """Return the key of LangChain's cache, which documents and salt are part of."""
        own = {"documents": self.documents, "cache_salt": self.cache_salt}
        return super()._get_llm_string(stop, **{**own, **kwargs})

    @override
    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "kvproxy"
        return params

    @override
    def _use_responses_api(self, payload: dict[str, Any]) -> bool:
        return False

    @override
    def _get_request_payload(
        self, input_: LanguageModelInput, *, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Build the request with the documents at its head.

        The model's earlier reasoning is sent back, since the prefix would differ without it.
        """
        documents, salt = kwargs.pop("documents", None), kwargs.pop("cache_salt", self.cache_salt)
        messages, found = lifted(as_sent(self._convert_input(input_).to_messages()))
        for layer in (found, self.documents if documents is None else documents):
            messages = place_documents(messages, layer, by=self.documents_by)
        payload: dict[str, Any] = super()._get_request_payload(messages, stop=stop, **kwargs)
        refuse_unknown("ChatKVProxy", payload, request_fields(), EXTRA_BODY_ADVICE)
        if salt is not None:
            payload["extra_body"] = {**(payload.get("extra_body") or {}), "cache_salt": salt}
        add_reasoning(payload, messages)
        return payload

    @override
    def bind_tools(
        self,
        tools: Sequence[Tool],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools; arguments and result are langchain-openai's.

        Example: `model.bind_tools([GetWeather], tool_choice="any", strict=True)`
        """
        return super().bind_tools(
            tools, tool_choice=tool_choice, strict=strict, parallel_tool_calls=parallel_tool_calls, **kwargs
        )

    @override
    def with_structured_output(
        self,
        schema: Schema | None = None,
        *,
        method: Literal["function_calling", "json_mode", "json_schema"] = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Return a model that answers by a schema; by default the schema is the grammar of the sampling.

        Arguments and result are langchain-openai's.

        Example: `model.with_structured_output(Verdict, include_raw=True).invoke("Water is wet.")`
        """
        return super().with_structured_output(
            schema, method=method, include_raw=include_raw, strict=strict, **kwargs
        )

    @override
    def get_token_ids(self, text: str) -> list[int]:
        """Return the proxy's token ids of a text."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        return self._tokenize({"prompt": text})

    @override
    def get_num_tokens_from_messages(
        self, messages: Sequence[Any], tools: Sequence[Tool] | None = None, **kwargs: Any
    ) -> int:
        """Count the tokens of the whole prompt of an invocation, with chat template, documents and tools.

        Args:
            messages: The messages; documents of this model are put at their head, as on an invocation.
            tools: Tools that would be bound.
            kwargs: More of an invocation's options, such as `documents`.

        Example:
            `model.get_num_tokens_from_messages([("human", "Hello")], tools=[GetWeather], documents=["handbook"])`
        """
        kwargs.pop("allow_fetching_images", None)
        payload = self._get_request_payload(list(messages), **kwargs)
        return len(self._tokenize(prompt_body(payload, tools)))
