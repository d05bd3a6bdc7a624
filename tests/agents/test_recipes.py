"""The settings of each agent: complete, readable by a shell, and gone after a run."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kvproxy.agents.launch import run, shell_lines
from kvproxy.agents.recipe import Door, Recipe
from kvproxy.agents.recipes import RECIPES
from kvproxy.errors import SetupError

DOOR = Door("http://127.0.0.1:8321", "qwen3-4b", 40_960, "key with 'quotes' and $signs")


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_names_the_proxy_and_leaves_no_gap(name: str) -> None:
    recipe = RECIPES[name](DOOR)
    everything = json.dumps([dict(recipe.variables), recipe.arguments, dict(recipe.files)])
    assert "127.0.0.1:8321" in everything
    assert DOOR.model in everything + recipe.note
    assert bool(recipe.files) == bool(recipe.where) == ("{folder}" in everything)


@pytest.mark.parametrize("name", RECIPES)
def test_a_shell_reads_the_lines_as_they_are_meant(name: str, tmp_path: Path) -> None:
    recipe = RECIPES[name](DOOR)
    program = "import json, os; print(json.dumps(dict(os.environ)))"
    script = f"{shell_lines(recipe)}{shlex.quote(sys.executable)} -c {shlex.quote(program)}\n"
    done = subprocess.run(
        ["sh", "-eu", "-c", script],
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
    )
    seen = json.loads(done.stdout)
    folder = f"{tmp_path}/kvproxy-{recipe.command}"
    for variable, value in recipe.variables.items():
        assert seen[variable] == value.replace("{folder}", folder)
    for file, text in recipe.files.items():
        assert Path(folder, file).read_text() == text


def test_codex_is_given_a_provider_on_its_command_line() -> None:
    arguments = RECIPES["codex"](DOOR).arguments
    assert arguments[-2:] == ("-m", "qwen3-4b")
    assert 'base_url="http://127.0.0.1:8321/v1", wire_api="responses"' in arguments[1]


def test_continue_and_llm_read_yaml() -> None:
    (text,) = RECIPES["continue"](DOOR).files.values()
    (model,) = yaml.safe_load(text)["models"]
    assert model["apiBase"] == "http://127.0.0.1:8321/v1" and model["apiKey"] == DOOR.api_key
    assert model["defaultCompletionOptions"] == {"contextLength": 40_960, "maxTokens": 10_240}
    (text,) = RECIPES["llm"](DOOR).files.values()
    assert yaml.safe_load(text)[0]["api_base"] == "http://127.0.0.1:8321/v1"


def test_a_program_is_started_with_all_of_it_and_its_files_are_gone_afterwards(tmp_path: Path) -> None:
    out = tmp_path / "out"
    program = "import os, sys, pathlib; p = pathlib.Path(os.environ['PLACE']); " + (
        f"pathlib.Path({str(out)!r}).write_text(str(p) + chr(10) + (p / 'f').read_text()); sys.exit(3)"
    )
    recipe = Recipe("thing", {"PLACE": "{folder}"}, ("--never",), {"f": "text"}, "nowhere")
    assert run(recipe, [sys.executable, "-c", program]) == 3
    place, text = out.read_text().split("\n")
    assert text == "text" and not Path(place).exists()


def test_arguments_stand_right_behind_the_programs_name(tmp_path: Path) -> None:
    program = tmp_path / "thing"
    program.write_text('#!/bin/sh\necho "$@" > "$(dirname "$0")/out"\n')
    program.chmod(0o755)
    assert run(Recipe("thing", arguments=("-m", "x y")), [str(program), "ask", "why?"]) == 0
    assert (tmp_path / "out").read_text() == "-m x y ask why?\n"


def test_a_program_that_is_not_there_is_one_clear_sentence() -> None:
    with pytest.raises(SetupError, match=r"cannot start nobody-has-this.*installed"):
        run(Recipe("x"), ["nobody-has-this"])
