"""`ChatConnection`: base of the chat model with a proxy's address, key, HTTP clients and served model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import openai
from langchain_core.utils import get_pydantic_field_names
from langchain_openai.chat_models.base import BaseChatOpenAI
from pydantic import Field, PrivateAttr, SecretStr, field_validator, model_validator

from langchain_kvproxy import _http, _protocol
from langchain_kvproxy._arguments import EXTRA_BODY_ADVICE, refuse_unknown
from langchain_kvproxy._errors import start_one, too_slow
from langchain_kvproxy._sole_model import SoleModel


class ChatConnection(BaseChatOpenAI):
    """The connection of a chat model to its proxy: settings, HTTP clients, the model's name, `/tokenize`."""

    model_name: str = Field(default="", alias="model")
    """Name of a model that the proxy serves; may be empty where it serves one only."""
    openai_api_key: SecretStr | Callable[[], Any] | None = Field(
        alias="api_key", default_factory=lambda: SecretStr(_protocol.api_key_of(None))
    )
    """Read from `KVPROXY_API_KEY` where not given."""
    openai_api_base: str | None = Field(
        alias="base_url", default_factory=lambda: _protocol.root_of(None) + "/v1"
    )
    """The proxy, with or without `/v1`. Read from `KVPROXY_BASE_URL` where not given."""
    openai_proxy: str | None = None
    """An HTTP proxy on the way to the kvproxy; those of the environment are not used."""
    stream_usage: bool | None = True
    """Whether streams end with their usage."""

    _served: SoleModel = PrivateAttr(default_factory=SoleModel)

    @model_validator(mode="before")
    @classmethod
    def _known_arguments_only(cls, values: Any) -> Any:
        if isinstance(values, dict):
            refuse_unknown(cls.__name__, values, get_pydantic_field_names(cls), EXTRA_BODY_ADVICE)
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
        return _protocol.root_of(value) + "/v1"

    @field_validator("openai_api_key", mode="after")
    @classmethod
    def _key_or_default(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = SecretStr(value)
        empty = value is None or (isinstance(value, SecretStr) and not value.get_secret_value())
        return SecretStr(_protocol.api_key_of(None)) if empty else value

    @model_validator(mode="after")
    def _chat_completions_only(self) -> Self:
        if self.use_responses_api:
            raise ValueError(
                "ChatKVProxy speaks Chat Completions; for the proxy's Responses API use "
                f"ChatOpenAI(base_url={self.openai_api_base!r}, use_responses_api=True)"
            )
        return self

    def _requested_model(self, options: Mapping[str, Any]) -> str:
        """Return the requested model's name. Raises ValueError where none was named and the proxy serves several."""
        name = str(options.get("model") or self.model_name or self._served.name or "")
        if not name:
            self._ensure_sync_client_available()
            return self._served.learn(
                self.root_client.models.list().data, _protocol.root_of(self.openai_api_base)
            )
        return name

    async def _arequested_model(self, options: Mapping[str, Any]) -> str:
        """Do the same as `_requested_model`, asynchronously."""
        name = str(options.get("model") or self.model_name or self._served.name or "")
        if not name:
            listed = await self.root_async_client.models.list()
            return self._served.learn(listed.data, _protocol.root_of(self.openai_api_base))
        return name

    @contextmanager
    def _advised_errors(self) -> Iterator[None]:
        """Add advice to openai's exceptions about the connection."""
        root = _protocol.root_of(self.openai_api_base)
        try:
            yield
        except openai.APITimeoutError as e:
            _replace_message(e, too_slow(root))
            raise
        except openai.APIConnectionError as e:
            _replace_message(e, start_one(root))
            raise

    def _tokenize(self, body: dict[str, Any]) -> list[int]:
        self._ensure_sync_client_available()
        with self._advised_errors():
            url = _protocol.root_of(self.openai_api_base) + "/tokenize"
            answer = self.root_client.post(
                url, cast_to=object, body={**body, "model": self._requested_model({})}
            )
        return _protocol.field(answer, "tokens", list, _protocol.root_of(self.openai_api_base))


def _replace_message(error: openai.APIConnectionError, message: str) -> None:
    error.message = message
    error.args = (message,)
