from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvproxy.engine.models.source import resolve_model
from kvproxy.engine.quantised.gguf_folder import find_gguf_in, gguf_folder, open_weights
from kvproxy.errors import SetupError
from tests.engine.quantised.make_gguf import make_gguf


def test_a_gguf_file_is_a_model(tmp_path: Path) -> None:
    make_gguf(tmp_path / "tiny.gguf")
    found = resolve_model(str(tmp_path / "tiny.gguf"), cache_dir=tmp_path / "cache")
    assert found.name == "tiny" and found.path.parent == tmp_path / "cache"
    assert resolve_model(str(tmp_path), cache_dir=tmp_path / "cache") == found
    names = {p.name for p in found.path.iterdir()}
    assert names == {
        *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"),
        *("chat_template.jinja", "model.gguf"),
    }
    file = open_weights(found.path)
    assert file is not None and file.tied and file.parameters() > 1_000_000


def test_files_beside_it_are_taken(tmp_path: Path) -> None:
    make_gguf(tmp_path / "tiny.gguf")
    before = gguf_folder(tmp_path / "tiny.gguf", tmp_path / "cache")
    (tmp_path / "chat_template.jinja").write_text("mine")
    (tmp_path / "tokenizer.json").write_text('{"mine": 1}')
    after = gguf_folder(tmp_path / "tiny.gguf", tmp_path / "cache")
    assert after != before and (after / "chat_template.jinja").read_text() == "mine"
    assert json.loads((after / "tokenizer.json").read_text()) == {"mine": 1}


def test_several_files_must_be_named(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").touch()
    (tmp_path / "b.gguf").touch()
    with pytest.raises(SetupError, match=r"several GGUF files \(a\.gguf, b\.gguf\)"):
        find_gguf_in(tmp_path)
    (tmp_path / "model.safetensors").touch()
    assert find_gguf_in(tmp_path) is None


def test_what_is_no_gguf_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "no.gguf").write_bytes(b"GGUX" + bytes(100))
    with pytest.raises(SetupError, match="cannot read"):
        gguf_folder(tmp_path / "no.gguf", tmp_path / "cache")
    assert [p.name for p in (tmp_path / "cache").iterdir()] in ([], [".gguf.lock"])
    with pytest.raises(SetupError, match="cannot read"):
        gguf_folder(tmp_path / "nowhere.gguf", tmp_path / "cache")
