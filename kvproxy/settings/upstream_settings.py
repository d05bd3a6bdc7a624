"""`UpstreamSettings`: a deployment of another model, to which requests for it go."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from kvproxy.settings.section import Section


class UpstreamSettings(Section):
    """One deployment of another model; ``params`` go to litellm's Router as ``litellm_params``."""

    name: str = Field(min_length=1)
    """The model's name here; several entries of one name share its requests."""
    params: dict[str, Any] = Field(repr=False)
    """Parameters for litellm's Router: ``model`` with the provider in front, ``api_key``, ``api_base`` and others."""
    passthrough: bool = False
    """Pass requests through byte for byte, without litellm; ``params`` are model, api_base and api_key then."""

    @model_validator(mode="after")
    def _has_model(self) -> UpstreamSettings:
        if not isinstance(self.params.get("model"), str):
            raise ValueError("params needs 'model', e.g. openai/gpt-4o-mini")
        if self.passthrough:
            self._check_passthrough()
        return self

    def _check_passthrough(self) -> None:
        if not self.params["model"].startswith(("openai/", "anthropic/")):
            raise ValueError("passthrough needs a 'model' in params that starts with openai/ or anthropic/")
        for name in ("api_base", "api_key"):
            if not isinstance(self.params.get(name), str) or not self.params[name]:
                raise ValueError(f"passthrough needs '{name}' in params")
        if more := sorted(set(self.params) - {"model", "api_base", "api_key"}):
            raise ValueError(f"passthrough takes model, api_base and api_key only, not {', '.join(more)}")
