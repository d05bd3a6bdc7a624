"""The base of every request body."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Types are as the client wrote them, without conversions. Fields that nobody knows are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")
