"""LlamaIndex's OpenAILike, over text completions and over chat completions with function calling.

No postponed annotations here: the client reads a tool's annotations as they are.
"""

import asyncio
import json
import os
from pathlib import Path
from typing import Any, Literal

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.prompts import ChatPromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from openai import AuthenticationError, BadRequestError, NotFoundError
from pydantic import BaseModel, Field

URL, KEY, MODEL = os.environ["KVPROXY_URL"], os.environ["KVPROXY_KEY"], os.environ["KVPROXY_MODEL"]
TEXT = Path(os.environ["HANDBOOK"]).read_text(encoding="utf-8")

QUESTION = "What is this license for?"
MESSAGES = [
    ChatMessage(
        role=MessageRole.SYSTEM, content=f"{TEXT}\n\nAnswer in one short sentence from the text above."
    ),
    ChatMessage(role=MessageRole.USER, content=QUESTION),
]


class Verdict(BaseModel):
    """What a text is."""

    kind: Literal["license", "novel", "recipe"]
    grade: int = Field(ge=1, le=5)
    free: bool


def weather(city: Literal["Oslo", "Lima"], days: Literal[1, 2]) -> str:
    """The weather in a city on the next days."""
    return f"4 degrees and rain in {city} for {days} days"


def main() -> None:
    cached = [completions(), chat()]
    streamed_chat()
    results = tool_round_trip() + asyncio.run(asynchronous())
    structured()
    errors()
    print(json.dumps({"cached_tokens": min(cached), "tool_results": results}))


def model(*, is_chat: bool, **settings: Any) -> OpenAILike:
    given: dict[str, Any] = {"model": MODEL, "api_key": KEY, "max_tokens": 24, "temperature": 0.0, **settings}
    return OpenAILike(
        api_base=f"{URL}/v1",
        is_chat_model=is_chat,
        is_function_calling_model=is_chat,
        context_window=8192,
        max_retries=0,
        timeout=120,
        **given,
    )


def completions() -> int:
    """The document at the head of a plain prompt; a chat becomes such a prompt in the client."""
    llm = model(is_chat=False)
    prompt = f"{TEXT}\n\nQuestion: {QUESTION}\nAnswer:"
    whole = llm.complete(prompt)
    assert whole.text.strip(), whole
    assert whole.additional_kwargs["total_tokens"] > whole.additional_kwargs["prompt_tokens"], whole
    pieces = list(llm.stream_complete(prompt))
    assert pieces[-1].text == whole.text, (pieces[-1].text, whole.text)
    assert len([p for p in pieces if p.delta]) > 1, "the answer came in one piece"
    with_usage = list(llm.stream_complete(prompt, stream_options={"include_usage": True}))
    assert _cached(with_usage[-1].raw) > 1000, with_usage[-1]
    ended = llm.complete(prompt, stop=[whole.text.split()[1]])
    assert whole.text.split()[1] not in ended.text, ended
    as_prompt = model(is_chat=False, messages_to_prompt=_as_prompt).chat(MESSAGES)
    assert as_prompt.message.content, as_prompt
    likely = model(is_chat=False, logprobs=True, top_logprobs=2).complete(prompt)
    assert likely.logprobs and likely.text == whole.text, likely
    return _cached(whole.raw)


def chat() -> int:
    llm = model(is_chat=True)
    answer = llm.chat(MESSAGES)
    assert answer.message.role == MessageRole.ASSISTANT and answer.message.content, answer
    assert answer.additional_kwargs["completion_tokens"] > 0, answer.additional_kwargs
    again = llm.complete(f"{TEXT}\n\n{QUESTION}")
    assert again.text.strip() and _cached(again.raw) > 1000, again.raw
    likely = model(is_chat=True, logprobs=True, top_logprobs=2).chat(MESSAGES)
    assert likely.logprobs and likely.logprobs[0], likely
    return _cached(answer.raw)


def streamed_chat() -> None:
    llm = model(is_chat=True, additional_kwargs={"stream_options": {"include_usage": True}})
    chunks = list(llm.stream_chat(MESSAGES))
    whole = model(is_chat=True).chat(MESSAGES)
    assert "".join(chunk.delta or "" for chunk in chunks) == whole.message.content, chunks
    assert _cached(chunks[-1].raw) > 1000, chunks[-1]


def tool_round_trip() -> int:
    llm = model(is_chat=True, max_tokens=80)
    tool = FunctionTool.from_defaults(weather)
    asked = [MESSAGES[0], ChatMessage(role=MessageRole.USER, content="How is the weather in Oslo?")]
    call = llm.chat_with_tools([tool], chat_history=asked, tool_required=True)
    selected = llm.get_tool_calls_from_response(call)
    assert len(selected) == 1 and selected[0].tool_name == "weather", selected
    assert _cached(call.raw) > 1000, call.raw
    result = tool(**selected[0].tool_kwargs)
    told = ChatMessage(
        role=MessageRole.TOOL,
        content=str(result),
        additional_kwargs={"tool_call_id": selected[0].tool_id, "name": "weather"},
    )
    last = model(is_chat=True).chat_with_tools(
        [tool], chat_history=[*asked, call.message, told], tool_choice="none"
    )
    assert last.message.content and _cached(last.raw) >= _cached(call.raw), last

    named = list(llm.stream_chat_with_tools([tool], chat_history=asked, tool_choice="weather"))
    streamed = llm.get_tool_calls_from_response(named[-1])
    assert len(streamed) == 1 and streamed[0].tool_kwargs["city"] in ("Oslo", "Lima"), streamed

    ran = llm.predict_and_call([tool], "How is the weather in Lima?", tool_choice="weather")
    assert "rain" in ran.response, ran
    return 2


def structured() -> None:
    prompt = ChatPromptTemplate(message_templates=[MESSAGES[0], MESSAGES[1]])
    for by_format in (True, False):
        llm = model(is_chat=True, max_tokens=120, should_use_structured_outputs=by_format)
        verdict = llm.structured_predict(Verdict, prompt)
        assert isinstance(verdict, Verdict), verdict
        shaped = llm.as_structured_llm(Verdict).chat(MESSAGES)
        assert isinstance(shaped.raw, Verdict), shaped
    # Streamed by format: as a tool, the client leaves the choice to the model, which is too small to make it.
    llm = model(is_chat=True, max_tokens=120, should_use_structured_outputs=True)
    last = list(llm.stream_structured_predict(Verdict, prompt))[-1]
    assert Verdict.model_validate(last.model_dump()), last


def errors() -> None:
    for is_chat in (True, False):
        for wrong, kind, param in (
            ({"model": "no-such-model"}, NotFoundError, "model"),
            ({"additional_kwargs": {"top_p": 7}}, BadRequestError, "top_p"),
            ({"api_key": "not-the-key"}, AuthenticationError, None),
        ):
            for method in ("complete", "stream_complete"):
                try:
                    list(getattr(model(is_chat=is_chat, **wrong), method)("hello"))
                except (NotFoundError, BadRequestError, AuthenticationError) as e:
                    assert isinstance(e, kind) and e.param == param, (wrong, e)
                else:
                    raise AssertionError(f"{wrong} was accepted")


async def asynchronous() -> int:
    llm = model(is_chat=True, max_tokens=60)
    answer = await llm.achat(MESSAGES)
    chunks = [chunk async for chunk in await llm.astream_chat(MESSAGES)]
    assert chunks[-1].message.content == answer.message.content, (chunks[-1], answer)
    plain = await model(is_chat=False).acomplete(f"{TEXT}\n\nQuestion:")
    assert _cached(plain.raw) > 1000, plain.raw
    tool = FunctionTool.from_defaults(weather)
    ran = await llm.apredict_and_call([tool], "How is the weather in Oslo?", tool_choice="weather")
    assert "rain" in ran.response, ran
    return 1


def _as_prompt(messages: Any) -> str:
    return "\n".join(f"{message.content}" for message in messages) + "\nAnswer:"


def _cached(raw: Any) -> int:
    return int(raw.usage.prompt_tokens_details.cached_tokens)


if __name__ == "__main__":
    main()
