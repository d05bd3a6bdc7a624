"""A short answer of the engine on a tiny random model: the stays of one step, and those of one scored tile.

The moments between which the engine's thread is looked at are found by behaviour: the model's head has been run
(``Tiles.logits`` returned, once ``TileModel.logits``), or the thread is back in the loop, which is what is open at both
of two such moments.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .places import first_attribute
from .stays import Lane, Move, Place, Stay, StayTracer, deepest_chain, stays

Part = dict[str, list[Stay]]

TOKENS = 6
"""Of the answer. The step that is looked at is the one before the last, when every memo is filled."""


class Heads:
    """Counts the moves of the engine's thread whenever the model's head has been run."""

    def __init__(self, tracer: StayTracer, head: Any) -> None:
        self._tracer = tracer
        self._run = head.logits
        self.marks: list[int] = []
        self.lane: Lane | None = None
        head.logits = self

    def __call__(self, hidden: Any) -> Any:
        result = self._run(hidden)
        self.lane = self._tracer.lane
        self.marks.append(len(self.lane.moves))
        return result


def trace_step() -> tuple[Part, list[Place]]:
    """Stays of a step, of a tile's token, and of the tile that ends the answer; and the step's deepest chain of calls.

    A step goes from one run of the head to the next one: delivery, the loop, admission, then a tile's layers.
    """
    import torch

    make_model = first_attribute("tests.engine.tiny:make_model")
    make_harness = first_attribute("tests.engine.harness:make_harness", "tests.engine.tiny:make_rig")
    write_vocabulary = first_attribute("tests.engine.tiny:write_vocabulary")
    prompt = first_attribute("tests.engine.tiny:prompt")
    vocabulary_of = first_attribute(
        "kvproxy.engine.decode.detokenizer:Vocabulary", "kvproxy.engine.detokenize:Vocabulary"
    )
    tracer = StayTracer("kvproxy")
    model = make_model("llama", torch.float32)
    with tempfile.TemporaryDirectory() as folder, tracer.running():
        harness = make_harness(model, vocabulary_of(write_vocabulary(Path(folder) / "vocabulary")))
        heads = Heads(tracer, model.tiles if hasattr(model.tiles, "logits") else model)
        harness.run(prompt(1, 40), max_tokens=TOKENS)
        harness.close()
    assert heads.lane is not None and len(heads.marks) == TOKENS, heads.marks
    return _parts(heads.lane, heads.marks)


def _parts(lane: Lane, marks: Sequence[int]) -> tuple[Part, list[Place]]:
    before, last = marks[-2:]
    step = lane.moves[before:last]
    loop = _common(lane.moves[before - 1].stack, lane.moves[last - 1].stack)
    parts = {
        "one engine step": step,
        "one token of it, from the logits to the loop": _until(lane.moves[before:], loop),
        "the scored tile that ends the answer": _until(lane.moves[last:], loop),
    }
    return {name: stays(lane, moves) for name, moves in parts.items()}, deepest_chain(lane, step)


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """Count the calls that are open in both."""
    return sum(a == b for a, b in zip(one, other, strict=False))


def _until(moves: Sequence[Move], depth: int) -> Sequence[Move]:
    """The moves until no more than ``depth`` calls are open."""
    end = next((i for i, move in enumerate(moves) if len(move.stack) <= depth), len(moves) - 1)
    return moves[: end + 1]
