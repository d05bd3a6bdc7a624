from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvproxy.engine.models.source import (
    ModelFolder,
    hub_download,
    missing_files,
    model_on_disk,
    resolve_model,
)
from kvproxy.errors import SetupError


def make_model(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / name).write_text("{}")
    return folder


class FakeHub:
    """A hub with a local cache: ``offline`` and ``online`` are the results of each look-up, None for nothing."""

    def __init__(self, offline: Path | None, online: Path | str) -> None:
        self.offline, self.online = offline, online
        self.calls: list[tuple[str, str | None, bool]] = []

    def __call__(self, repo: str, revision: str | None, offline: bool) -> Path:
        self.calls.append((repo, revision, offline))
        found = self.offline if offline else self.online
        if not isinstance(found, Path):
            raise LookupError(found or "it is not in the local cache")
        return found


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "my-model")
    assert resolve_model(str(folder), cache_dir=tmp_path) == ModelFolder(folder, "my-model")


def test_a_shape_is_no_model_that_could_be_served(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="random weights and no tokenizer"):
        resolve_model("shape:qwen3-4b", cache_dir=tmp_path)


def test_a_folder_with_files_missing_is_refused_by_name(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m")
    (folder / "tokenizer.json").unlink()
    (folder / "model.safetensors").unlink()
    with pytest.raises(SetupError, match=r"lacks tokenizer\.json, \*\.safetensors"):
        resolve_model(str(folder), cache_dir=tmp_path)


def test_every_shard_of_an_index_must_be_there(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "m")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model-1.safetensors").write_text("")
    assert missing_files(folder) == ["model-2.safetensors"]
    (folder / "model.safetensors.index.json").write_text("{")
    assert missing_files(folder) == ["a readable model.safetensors.index.json"]


@pytest.mark.parametrize("name", ["/no/such/model", "./no/such/model", "~/no/such/model"])
def test_a_path_that_is_not_there_is_no_hub_name(name: str, tmp_path: Path) -> None:
    hub = FakeHub(None, tmp_path)
    with pytest.raises(SetupError, match="there is no model folder"):
        resolve_model(name, cache_dir=tmp_path, download=hub)
    assert hub.calls == []


@pytest.mark.parametrize("name", ["smollm2-135m", "SmolLM2-135M"])
def test_the_bundled_model_goes_to_the_converter(name: str, tmp_path: Path) -> None:
    seen: list[Path] = []

    def bundled(cache_dir: Path, progress: object) -> Path:
        seen.append(cache_dir)
        return tmp_path / "converted"

    found = resolve_model(name, cache_dir=tmp_path, bundled=bundled)
    assert found == ModelFolder(tmp_path / "converted", "smollm2-135m")
    assert seen == [tmp_path]


def test_a_cached_hub_model_needs_no_network(tmp_path: Path) -> None:
    hub = FakeHub(make_model(tmp_path / "snapshot"), "must not be asked")
    found = resolve_model("Qwen/Qwen3-4B", revision="main", cache_dir=tmp_path, download=hub)
    assert found == ModelFolder(tmp_path / "snapshot", "Qwen/Qwen3-4B")
    assert hub.calls == [("Qwen/Qwen3-4B", "main", True)]


def test_a_half_downloaded_hub_model_is_completed(tmp_path: Path) -> None:
    half = tmp_path / "half"
    half.mkdir()
    hub = FakeHub(half, make_model(tmp_path / "whole"))
    assert resolve_model("Qwen/Qwen3-4B", cache_dir=tmp_path, download=hub).path == tmp_path / "whole"
    assert [offline for _, _, offline in hub.calls] == [True, False]


def test_an_unreachable_hub_is_one_sentence_with_the_choices(tmp_path: Path) -> None:
    hub = FakeHub(None, "huggingface.co is not reachable")
    with pytest.raises(SetupError) as caught:
        resolve_model("Qwen/Qwen3-4B", cache_dir=tmp_path, download=hub)
    message = caught.value.message
    assert "\n" not in message
    for choice in ("huggingface.co is not reachable", "HF_HOME", "path of a folder", "--model smollm2-135m"):
        assert choice in message


def test_on_disk_never_downloads(tmp_path: Path) -> None:
    hub = FakeHub(None, tmp_path)
    assert model_on_disk("Qwen/Qwen3-4B", cache_dir=tmp_path, download=hub) is None
    assert [offline for _, _, offline in hub.calls] == [True]
    hub = FakeHub(make_model(tmp_path / "snapshot"), tmp_path)
    assert model_on_disk("Qwen/Qwen3-4B", cache_dir=tmp_path, download=hub) is not None


def test_the_hub_client_reports_a_missing_model_in_words() -> None:
    with pytest.raises(LookupError, match="it is not in the local cache"):
        hub_download("kvproxy/no-such-model", None, True)
    with pytest.raises(LookupError, match="neither a folder nor the name"):
        hub_download("not a name", None, True)
