"""The folder of a model's texts: no weights, no torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.engine.models.smollm2 import BUNDLED_NAME
from kvproxy.engine.models.text_folder import resolve_texts
from kvproxy.errors import SetupError
from tests.documents.models import write_model


def test_a_folder_without_weights_will_do(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", "smollm2-like")
    assert not list(folder.glob("*.safetensors"))
    assert resolve_texts(str(folder), cache_dir=tmp_path / "cache").path == folder


def test_a_folder_without_a_tokenizer_will_not(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SetupError, match=r"lacks tokenizer\.json"):
        resolve_texts(str(tmp_path / "empty"), cache_dir=tmp_path / "cache")
    with pytest.raises(SetupError, match="there is no model folder"):
        resolve_texts(str(tmp_path / "nowhere"), cache_dir=tmp_path / "cache")
    with pytest.raises(SetupError, match="has no tokenizer"):
        resolve_texts("shape:qwen3-4b", cache_dir=tmp_path / "cache")


def test_the_bundled_model_s_texts_are_those_of_its_converted_folder(smollm2: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    folder = resolve_texts(BUNDLED_NAME, cache_dir=cache).path
    assert folder.parent == cache and not list(folder.glob("*.safetensors"))
    assert {f.name for f in folder.iterdir()} == {
        f.name for f in smollm2.iterdir() if f.suffix in (".json", ".jinja")
    }
    for file in folder.iterdir():
        assert file.read_bytes() == (smollm2 / file.name).read_bytes(), file.name
    assert Tokenizer.load(folder).digest == Tokenizer.load(smollm2).digest
    assert ChatTemplate.load(folder).digest == ChatTemplate.load(smollm2).digest
    assert resolve_texts(BUNDLED_NAME, cache_dir=cache).path == folder, "written once"
    assert [f.name for f in cache.iterdir() if f.is_dir()] == [folder.name], "nothing half written is left"


def test_without_the_package_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="pip install"):
        resolve_texts(BUNDLED_NAME, cache_dir=tmp_path, find=lambda: None)


class Hub:
    """A hub whose cache is empty at first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[str, str | None, bool]] = []
        self.cached = False
        self.reachable = True

    def download(self, repo: str, revision: str | None, offline: bool) -> Path:
        self.asked.append((repo, revision, offline))
        if offline and not self.cached:
            raise LookupError("it is not in the local cache")
        if not offline and not self.reachable:
            raise LookupError("the hub is not reachable")
        self.cached = True
        return self.folder


def test_a_hub_s_model_is_looked_for_in_the_cache_first(tmp_path: Path) -> None:
    hub = Hub(write_model(tmp_path / "model", "qwen3"))
    for expected in ([True, False], [True]):
        hub.asked.clear()
        found = resolve_texts("Qwen/Qwen3-4B", revision="r1", cache_dir=tmp_path, download=hub.download)
        assert found.path == hub.folder and found.name == "Qwen/Qwen3-4B"
        assert hub.asked == [("Qwen/Qwen3-4B", "r1", offline) for offline in expected]


def test_a_hub_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    hub.reachable = False
    with pytest.raises(
        SetupError, match=r"cannot get the tokenizer of Qwen/Qwen3-4B \(the hub is not reachable"
    ):
        resolve_texts("Qwen/Qwen3-4B", cache_dir=tmp_path, download=hub.download)
