"""The chat model: `ChatKVProxy`."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Self

import openai
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LangSmithParams, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils import get_pydantic_field_names
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_openai.chat_models.base import BaseChatOpenAI
from pydantic import BaseModel, Field, PrivateAttr, SecretStr, field_validator, model_validator
from typing_extensions import override

from langchain_kvproxy import _http, _wire
from langchain_kvproxy._arguments import refuse_unknown, request_fields
from langchain_kvproxy._cache_status import cache_report, settled
from langchain_kvproxy._errors import start_one, too_slow
from langchain_kvproxy._lifting import lifted
from langchain_kvproxy._parts import as_sent
from langchain_kvproxy._served import ServedModel
from langchain_kvproxy._watch import Watching, WatchingAsync
from langchain_kvproxy.prompts import By, DocumentLike, place_documents

_ELSEWHERE = "Fields of the request that LangChain has no name for go into extra_body={…}."
Tool = dict[str, Any] | type | Callable[..., Any] | BaseTool
Schema = dict[str, Any] | type


@dataclass
class _Answer:
    """What is known of one request's answer."""

    keep_headers: bool
    headers: Mapping[str, str] | None = None
    told: bool = False


class ChatKVProxy(BaseChatOpenAI):
    """Chat model of a [kvproxy](https://pypi.org/project/kvproxy/): documents in front, and what that saved.

    Setup:
        Install `langchain-kvproxy` and start a proxy.

        ```bash
        pip install -U langchain-kvproxy
        kvproxy serve
        export KVPROXY_BASE_URL="http://127.0.0.1:8321" KVPROXY_API_KEY="your-key"
        ```

    Key init args — completion params:
        model:
            Name of a model that the proxy serves. May be left out where it serves only one: it is asked once.
        documents:
            What every prompt starts with: references to published documents (`"handbook"`, `"handbook@3"`),
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
        What was taken from the cache, and what was written to it for later readers, streamed or not.

        ```python
        answer = model.invoke(messages)
        answer.usage_metadata["input_token_details"]["cache_read"]
        answer.usage_metadata["input_token_details"]["cache_creation"]
        ```

    Response metadata:
        Whether it was a hit, of which document, or why not.

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

    model_name: str = Field(default="", alias="model")
    """Name of a model that the proxy serves; where it serves one only, that one."""
    openai_api_key: SecretStr | Callable[[], Any] | None = Field(
        alias="api_key", default_factory=lambda: SecretStr(_wire.api_key_of(None))
    )
    """Read from `KVPROXY_API_KEY` where not given."""
    openai_api_base: str | None = Field(alias="base_url", default_factory=lambda: _wire.root_of(None) + "/v1")
    """The proxy, with or without `/v1`. Read from `KVPROXY_BASE_URL` where not given."""
    openai_proxy: str | None = None
    """An HTTP proxy on the way to the kvproxy; those of the environment are not used."""
    stream_usage: bool | None = True
    """Whether streams end with their usage."""
    documents: list[DocumentLike] = Field(default_factory=list)
    """What every prompt starts with. Those of an invocation take their place, they are not added."""
    cache_salt: str | None = None
    """Keeps what is sent apart: requests with different salts share published documents only. Most need none."""
    documents_by: By = "reference"
    """Whether documents that have a reference in their metadata are sent as one, or as text."""

    _answer: _Answer | None = PrivateAttr(default=None)
    _served: ServedModel = PrivateAttr(default_factory=ServedModel)

    @model_validator(mode="before")
    @classmethod
    def _known_arguments_only(cls, values: Any) -> Any:
        if isinstance(values, dict):
            refuse_unknown(cls.__name__, values, get_pydantic_field_names(cls), _ELSEWHERE)
        return values

    @model_validator(mode="before")
    @classmethod
    def _own_http_clients(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("openai_proxy"):
            return values
        clients = {
            "http_client": values.get("http_client") or _http.sync_client(),
            "http_async_client": values.get("http_async_client") or _http.async_client(),
        }
        return {**values, **clients}

    @field_validator("openai_api_base", mode="after")
    @classmethod
    def _with_v1(cls, value: str | None) -> str:
        return _wire.root_of(value) + "/v1"

    @field_validator("openai_api_key", mode="after")
    @classmethod
    def _some_key(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = SecretStr(value)
        empty = value is None or (isinstance(value, SecretStr) and not value.get_secret_value())
        return SecretStr(_wire.api_key_of(None)) if empty else value

    @model_validator(mode="after")
    def _chat_completions_only(self) -> Self:
        if self.use_responses_api:
            raise ValueError(
                "ChatKVProxy speaks Chat Completions; for the proxy's Responses API use "
                f"ChatOpenAI(base_url={self.openai_api_base!r}, use_responses_api=True)"
            )
        return self

    @property
    def lc_secrets(self) -> dict[str, str]:
        return {"openai_api_key": "KVPROXY_API_KEY"}

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return True

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
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
        """The key of LangChain's cache: of a copy with other documents another one."""
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
        """Documents at the head; the model's earlier thoughts go back, else its prefix would differ."""
        documents, salt = kwargs.pop("documents", None), kwargs.pop("cache_salt", self.cache_salt)
        messages, found = lifted(as_sent(self._convert_input(input_).to_messages()))
        for layer in (found, self.documents if documents is None else documents):
            messages = place_documents(messages, layer, by=self.documents_by)
        payload: dict[str, Any] = super()._get_request_payload(messages, stop=stop, **kwargs)
        refuse_unknown("ChatKVProxy", payload, request_fields(), _ELSEWHERE)
        if salt is not None:
            payload["extra_body"] = {**(payload.get("extra_body") or {}), "cache_salt": salt}
        for message, sent in zip(messages, payload["messages"], strict=True):
            thoughts = message.additional_kwargs.get("reasoning_content")
            if isinstance(message, AIMessage) and isinstance(thoughts, str):
                sent["reasoning_content"] = thoughts
        return payload

    @override
    def _create_chat_result(
        self, response: dict[str, Any] | openai.BaseModel, generation_info: dict[str, Any] | None = None
    ) -> ChatResult:
        info = dict(generation_info or {})
        report = cache_report(info.get("headers", {}))
        result = super()._create_chat_result(response, self._shown(info))
        whole = response if isinstance(response, dict) else response.model_dump(warnings=False)
        for generation, choice in zip(result.generations, whole["choices"], strict=True):
            _add_thoughts(generation.message, choice["message"])
            if report is not None:
                generation.message.response_metadata["kvproxy"] = report
        result.llm_output = {**(result.llm_output or {}), "model_provider": "kvproxy"}
        return result

    @override
    def _convert_chunk_to_generation_chunk(
        self,
        chunk: dict[str, Any],
        default_chunk_class: type,
        base_generation_info: dict[str, Any] | None,
    ) -> ChatGenerationChunk | None:
        info = dict(base_generation_info or {})
        answer = self._answer or _Answer(keep_headers=True)
        answer.headers = info.get("headers", answer.headers)
        made = super()._convert_chunk_to_generation_chunk(chunk, default_chunk_class, self._shown(info))
        if made is None:
            return None
        inner = chunk.get("chunk") or chunk  # openai's own events of structured streams have the chunk inside
        message = made.message
        if "model_provider" in message.response_metadata:
            message.response_metadata["model_provider"] = "kvproxy"
        for choice in (inner.get("choices") or [])[:1]:
            _add_thoughts(message, choice.get("delta") or {})
        if answer.headers is not None and not answer.told:
            usage = inner.get("usage") or {}
            self._tell(answer, message, usage.get("prompt_tokens_details") or {} if usage else None)
        return made

    def _tell(self, answer: _Answer, message: BaseMessage, details: dict[str, Any] | None) -> None:
        """Once for each stream: chunks are added up, and texts in their metadata with them."""
        report = cache_report(answer.headers or {})
        if report is not None and details is not None:
            report = settled(report, details.get("cached_tokens") or 0)
        if report is None or report["status"] != "pending":
            answer.told = True
        if report is not None and answer.told:
            message.response_metadata["kvproxy"] = report

    def _shown(self, info: dict[str, Any]) -> dict[str, Any]:
        """Without the raw headers, unless they were asked for."""
        if self._answer is None or self._answer.keep_headers:
            return info
        return {name: value for name, value in info.items() if name != "headers"}

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with self._explained():
            one = self._for_one(self._asked(kwargs))
            return BaseChatOpenAI._generate(one, messages, stop, run_manager, **kwargs)

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with self._explained():
            one = self._for_one(await self._aasked(kwargs))
            return await BaseChatOpenAI._agenerate(one, messages, stop, run_manager, **kwargs)

    @override
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        with self._explained():
            one = self._for_one(self._asked(kwargs), kwargs)
            yield from BaseChatOpenAI._stream(one, *args, **kwargs)

    @override
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        with self._explained():
            one = self._for_one(await self._aasked(kwargs), kwargs)
            async for chunk in BaseChatOpenAI._astream(one, *args, **kwargs):
                yield chunk

    def _for_one(self, model: str, stream_kwargs: Mapping[str, Any] | None = None) -> Self:
        """A copy for one request, which asks for the headers and remembers what was told of them.

        openai's structured streams hide their headers from the base class, which is not asked for them then.
        """
        one = self.model_copy(update={"model_name": model})
        one._answer = answer = _Answer(keep_headers=self.include_response_headers)
        one.include_response_headers = True
        if stream_kwargs is not None and "response_format" in {**self.model_kwargs, **stream_kwargs}:
            note = functools.partial(setattr, answer, "headers")
            one.root_client = Watching(self.root_client, note)
            one.root_async_client = WatchingAsync(self.root_async_client, note)
            one.include_response_headers = False
        return one

    def _asked(self, options: Mapping[str, Any]) -> str:
        """The model that is asked. Raises ValueError where none was named and the proxy serves several."""
        name = str(options.get("model") or self.model_name or self._served.name or "")
        if not name:
            self._ensure_sync_client_available()
            return self._served.learn(
                self.root_client.models.list().data, _wire.root_of(self.openai_api_base)
            )
        return name

    async def _aasked(self, options: Mapping[str, Any]) -> str:
        name = str(options.get("model") or self.model_name or self._served.name or "")
        if not name:
            listed = await self.root_async_client.models.list()
            return self._served.learn(listed.data, _wire.root_of(self.openai_api_base))
        return name

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """openai's exceptions, with what to do in those about the connection."""
        root = _wire.root_of(self.openai_api_base)
        try:
            yield
        except openai.APITimeoutError as e:
            _say(e, too_slow(root))
            raise
        except openai.APIConnectionError as e:
            _say(e, start_one(root))
            raise

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
        """As langchain-openai has it; by default the schema is the answer's grammar, which holds here."""
        return super().with_structured_output(
            schema, method=method, include_raw=include_raw, strict=strict, **kwargs
        )

    @override
    def get_token_ids(self, text: str) -> list[int]:
        """The proxy's token ids of a text."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        return self._tokenize({"prompt": text})

    @override
    def get_num_tokens_from_messages(
        self, messages: Sequence[Any], tools: Sequence[Tool] | None = None, **kwargs: Any
    ) -> int:
        """Tokens of the whole prompt as the model would be given it, with chat template, documents and tools.

        Args:
            messages: The messages; documents of this model are put at their head, as on an invocation.
            tools: Tools that would be bound.
            kwargs: More of an invocation's options, such as `documents`.
        """
        kwargs.pop("allow_fetching_images", None)
        payload = self._get_request_payload(list(messages), **kwargs)
        body: dict[str, Any] = {
            name: payload[name] for name in ("messages", "tool_choice", "tools") if name in payload
        }
        extra = payload.get("extra_body") or {}
        if "chat_template_kwargs" in extra:
            body["chat_template_kwargs"] = extra["chat_template_kwargs"]
        if tools:
            body["tools"] = [convert_to_openai_tool(tool) for tool in tools]
        return len(self._tokenize(body))

    def _tokenize(self, body: dict[str, Any]) -> list[int]:
        self._ensure_sync_client_available()
        with self._explained():
            url = _wire.root_of(self.openai_api_base) + "/tokenize"
            answer = self.root_client.post(url, cast_to=object, body={**body, "model": self._asked({})})
        return _wire.field(answer, "tokens", list, _wire.root_of(self.openai_api_base))


def _add_thoughts(message: BaseMessage, source: Mapping[str, Any]) -> None:
    thoughts = source.get("reasoning_content") or source.get("reasoning")
    if isinstance(message, AIMessage | AIMessageChunk) and isinstance(thoughts, str):
        message.additional_kwargs["reasoning_content"] = thoughts


def _say(error: openai.APIConnectionError, what: str) -> None:
    error.message = what
    error.args = (what,)
