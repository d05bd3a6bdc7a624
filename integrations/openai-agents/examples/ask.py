"""Two agents of different instructions that read one text: python examples/ask.py FILE"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Literal

from agents import Agent, ModelSettings, Runner
from openai_agents_kvproxy import KVProxyProvider, adocuments_first
from pydantic import BaseModel

SETTINGS = ModelSettings(temperature=0, max_tokens=60)


class Kind(BaseModel):
    """The kind of a text. Bounded: the SDK takes an answer that was cut off for a failure."""

    kind: Literal["license", "novel", "recipe"]


async def main(file: Path, text: str) -> None:
    provider = KVProxyProvider()
    kv, name = provider.documents, f"examples/{file.name}"
    published = await kv.apublish(name, text, visibility="private")
    print(f"published: {name}, {published['info']['tokens']:,} tokens")
    try:
        for role in ("You are a lawyer. Be brief.", "You are a poet. Be brief."):
            agent = Agent(
                name="Reader",
                instructions=await adocuments_first(role, name, kv),
                model_settings=SETTINGS,
                output_type=Kind,
            )
            result = await Runner.run(agent, "What is this text?", run_config=provider.run_config())
            usage = result.context_wrapper.usage
            cached = usage.input_tokens_details.cached_tokens
            print(f"\n{role}\n{result.final_output}")
            print(f"{cached:,} of {usage.input_tokens:,} prompt tokens were cached")
    finally:
        await kv.adelete(name)
        await provider.aclose()


if __name__ == "__main__":
    file = Path(sys.argv[1])
    asyncio.run(main(file, file.read_text(encoding="utf-8")))
