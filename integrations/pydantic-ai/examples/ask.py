"""A question in words and one with a typed answer about one text: python examples/ask.py FILE"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from pydantic_ai import Agent, ModelSettings, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai_kvproxy import KVProxyProvider, adocuments_first

SETTINGS = ModelSettings(temperature=0, max_tokens=60)


class Kind(BaseModel):
    """The kind of a text."""

    kind: Literal["license", "novel", "recipe"]


async def main(file: Path, text: str) -> None:
    provider = KVProxyProvider()
    kv, name = provider.documents, f"examples/{file.name}"
    model = OpenAIChatModel(kv.served_model(), provider=provider)
    published = await kv.apublish(name, text, visibility="private")
    print(f"published: {name}, {published['info']['tokens']:,} tokens")
    try:
        instructions = await adocuments_first("Be brief.", name, kv)
        for question, output in (("What is it about?", str), ("What is it?", NativeOutput(Kind))):
            agent: Agent[None, Any] = Agent(
                model, instructions=instructions, output_type=output, model_settings=SETTINGS
            )
            async with agent:
                result = await agent.run(question)
            usage = result.usage
            print(f"\n{question}\n{result.output}")
            print(f"{usage.cache_read_tokens:,} of {usage.input_tokens:,} prompt tokens were cached")
    finally:
        await kv.adelete(name)


if __name__ == "__main__":
    file = Path(sys.argv[1])
    asyncio.run(main(file, file.read_text(encoding="utf-8")))
