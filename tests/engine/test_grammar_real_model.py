"""The engine with a real model in one batch: whatever it is asked to follow, it follows."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema

from kvproxy.core import Constraint, JsonFormat, Sampling, Tool, ToolChoice
from kvproxy.engine import build
from tests.engine.harness import HarnessMaker
from tests.engine.schema_corpus import CORPUS
from tests.engine.walk import Walker

ASKED = "<|im_start|>user\nDescribe Anna, 34, from Graz.<|im_end|>\n<|im_start|>assistant\n"
BOUNDED = ("plain", "unicode-keys", "github-issue", "pydantic-discriminated")
TOOL = Tool("save", parameters=CORPUS["plain"], strict=True)


def test_greedy_and_sampled_answers_are_valid(smollm2: Path, rigs: HarnessMaker) -> None:
    model = build.load(
        smollm2, dtype="bfloat16", device="cpu", threads=None, tokenizer_digest="t", template_digest="c"
    )
    walker = Walker(smollm2, vocab_size=model.vocab_size)
    rig = rigs(model, vocabulary=walker.vocabulary, pages=64, eos_ids=walker.eos_ids)
    formats = {name: Constraint(format=JsonFormat(CORPUS[name])) for name in BOUNDED}
    forced = Constraint(tools=(TOOL,), choice=ToolChoice("required"), parallel=False)

    streams = []
    for name, wanted in {**formats, "forced": forced}.items():
        compiled = walker.grammars.compile_now(wanted)
        for temperature in (0.0, 1.2):
            sampling = Sampling(temperature=temperature)
            prompt = tuple(walker.encode(ASKED))
            state = compiled.start()
            streams.append(
                (name, rig.submit(prompt, max_tokens=200, sampling=sampling, seed=3, constraint=state))
            )
    for name, stream in streams:
        stream.end()
        assert stream.finished is not None, stream.error
        assert stream.finished.reason == "stop", stream.text
        if name == "forced":
            call = stream.text.removeprefix("<tool_call>\n").removesuffix("\n</tool_call>")
            assert stream.text == f"<tool_call>\n{call}\n</tool_call>"
            assert json.loads(call)["name"] == "save"
            jsonschema.validate(json.loads(call)["arguments"], CORPUS["plain"])
        else:
            jsonschema.validate(json.loads(stream.text), CORPUS[name])
