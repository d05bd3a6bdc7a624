from __future__ import annotations

import asyncio
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from kvproxy.cli.address_findings import hub_finding, upstream_finding
from kvproxy.cli.doctor import (
    TESTED_TORCH,
    access_finding,
    disk_findings,
    examine,
    memory_finding,
    port_finding,
    settings_finding,
    space_finding,
    template_finding,
    tokenizer_finding,
    torch_finding,
)
from kvproxy.cli.store_findings import set_aside, store_findings
from kvproxy.config import Config, load_config
from kvproxy.core import DocumentRef
from kvproxy.documents.library.document import Document, etag_of
from kvproxy.documents.prepared.prepared_texts import PreparedTexts
from kvproxy.engine.models.footprint import Footprint, read_footprint
from kvproxy.engine.models.host import Host
from kvproxy.errors import SetupError
from kvproxy.store.disk import page_name
from kvproxy.store.page_store import PageStore
from kvproxy.store.stored_responses import FileResponses
from kvproxy.terminal.finding import Finding
from tests.documents.registry.own_registry import OwnRegistry

GIB = 2**30
PAGE = bytes(range(32))
SMALL = Footprint(parameters=1, weights_bytes=GIB, kv_bytes_per_token=2**20, max_context=8192)


def host(torch: str = "2.13.0+cpu") -> Host:
    return Host(torch, "AVX512", fast_bf16=True, cuda=None)


def test_the_tested_torch_is_the_pinned_one() -> None:
    pins = (Path(__file__).parents[2] / "constraints.txt").read_text()
    assert re.findall(r"^torch==(.+)$", pins, re.MULTILINE) == [TESTED_TORCH]


@pytest.mark.parametrize(
    ("finding", "level"),
    [
        (torch_finding(host()), "ok"),
        (torch_finding(host("2.13.0")), "ok"),
        (torch_finding(host("2.14.1+cu130")), "warn"),
        (settings_finding({}), "ok"),
        (settings_finding({"ONEDNN_MAX_CPU_ISA": "AVX2"}), "warn"),
        (access_finding("0.0.0.0", keys=0), "warn"),
        (access_finding("", keys=0), "warn"),
        (access_finding("proxy.example", keys=0), "warn"),
        (access_finding("::", keys=0), "warn"),
        (access_finding("0.0.0.0", keys=2), "ok"),
        (access_finding("127.0.0.1", keys=0), "ok"),
        (access_finding("::1", keys=0), "ok"),
        (access_finding("localhost", keys=0), "ok"),
        (memory_finding(SMALL, 16 * GIB, "auto"), "ok"),
        (memory_finding(SMALL, 16 * GIB, 10 * GIB), "ok"),
        (memory_finding(SMALL, GIB - 1, "auto"), "fail"),
        (memory_finding(SMALL, 16 * GIB, 511 * 2**20), "fail"),
        (memory_finding(SMALL, 16 * GIB, 512 * 2**20), "warn"),
        (memory_finding(SMALL, 16 * GIB, 16 * GIB), "warn"),
        (memory_finding(SMALL, 2 * GIB, "auto"), "warn"),
        (tokenizer_finding(True), "ok"),
        (tokenizer_finding(False), "warn"),
        (template_finding(False), "ok"),
        (template_finding(True), "warn"),
        (space_finding(Path("/s"), 30 * GIB, 20 * GIB), "ok"),
        (space_finding(Path("/s"), 10 * GIB, 20 * GIB), "warn"),
        (space_finding(Path("/s"), GIB - 1, 20 * GIB), "fail"),
        (hub_finding("Qwen/Qwen3-4B", None), "warn"),
        (hub_finding("Qwen/Qwen3-4B", "timed out"), "fail"),
        (port_finding("127.0.0.1", 0), "ok"),
        (port_finding("203.0.113.1", 8321), "fail"),
        (upstream_finding("a", {"model": "openai/gpt-4o-mini"}), "ok"),
        (upstream_finding("a", {"model": "x", "api_base": "localhost"}), "fail"),
        (upstream_finding("a", {"model": "x", "api_base": "http://127.0.0.1:1/v1"}), "fail"),
    ],
)
def test_each_finding_has_its_level_and_says_what_to_do(finding: Finding, level: str) -> None:
    assert finding.level == level, finding
    assert bool(finding.advice) == (level != "ok")


def test_ports_and_upstreams_that_are_taken_or_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        taken = port_finding("127.0.0.1", port)
        assert (taken.level, f"127.0.0.1:{port}: " in taken.what) == ("fail", True)
        there = upstream_finding("big", {"model": "x", "api_base": f"http://127.0.0.1:{port}/v1"})
        assert there.level == "ok"
    assert port_finding("127.0.0.1", port).level == "ok"


def test_a_store_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "file").chmod(0o400)
    assert [f.level for f in disk_findings(tmp_path / "file" / "store", GIB)] == ["fail"]


def test_the_space_for_a_store_that_is_not_there_yet(tmp_path: Path) -> None:
    (finding,) = disk_findings(tmp_path / "not" / "yet", 1)
    assert finding.check == "store"
    assert "free" in finding.what
    assert not (tmp_path / "not").exists()


def test_sizes_come_from_the_headers(smollm2: Path) -> None:
    footprint = read_footprint(smollm2, 2)
    assert footprint == Footprint(134_515_008, 269_030_016, 2 * 30 * 3 * 64 * 2, 8192)
    assert read_footprint(smollm2, 4).weights_bytes == 2 * footprint.weights_bytes


@pytest.mark.parametrize("data", [b"", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0no"])
def test_a_broken_weights_file_is_one_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(SetupError, match="cannot read the model files"):
        read_footprint(tmp_path, 2)


def levels(findings: list[Finding]) -> dict[str, str]:
    return {f.check: f.level for f in findings}


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Config]:
    def make(model: str) -> Config:
        overrides = {"model.path": model, "store.path": tmp_path / "store", "server.port": 0}
        return load_config(None, overrides | {"store.max_size": 1, "store.spill_max_size": 0})

    return make


def test_a_whole_examination(smollm2: Path, config: Callable[[str], Config], tmp_path: Path) -> None:
    found = list(examine(config(str(smollm2)), tmp_path))
    assert [f.check for f in found] == [
        *("torch", "processor", "kernels", "kernel settings", "model", "architecture"),
        *("memory", "tokenizer", "template", "store", "port", "access"),
    ]
    assert [f for f in found if f.level == "fail"] == []


def test_a_model_that_cannot_be_served_is_found(
    smollm2: Path, config: Callable[[str], Config], tmp_path: Path
) -> None:
    model = tmp_path / "sliding"
    model.mkdir()
    for file in smollm2.iterdir():
        (model / file.name).symlink_to(file)
    text = (smollm2 / "config.json").read_text().replace('"model_type": "llama"', '"model_type": "mistral"')
    (model / "config.json").unlink()
    (model / "config.json").write_text(text.replace('"use_cache"', '"sliding_window": 4096, "use_cache"'))
    found = list(examine(config(str(model)), tmp_path))
    assert levels(found)["architecture"] == "fail"
    assert "sliding-window" in next(f.what for f in found if f.check == "architecture")


def test_a_missing_model_folder_is_found(config: Callable[[str], Config], tmp_path: Path) -> None:
    found = list(examine(config(str(tmp_path / "none")), tmp_path))
    assert levels(found)["model"] == "fail"
    assert levels(found)["port"] == "ok"  # the rest is examined all the same


def test_a_proxy_of_fleets_alone_is_examined_without_an_engine(smollm2: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        up, down = f"http://127.0.0.1:{server.getsockname()[1]}", "http://127.0.0.1:1"
        fleet = {"name": "far", "model": str(smollm2), "replicas": [up, {"url": down, "name": "gone"}]}
        made = load_config(None, {"fleets": [fleet], "store.path": tmp_path / "store", "server.port": 0})
        found = list(examine(made, tmp_path))
    assert {f.check for f in found} == {"store", "port", "access", "fleet far"}
    assert [(f.level, f.what) for f in found if f.check == "fleet far"] == [
        ("ok", f"the tokenizer of {smollm2} is here"),
        ("ok", f"{up.removeprefix('http://')} accepts connections"),
        ("fail", "gone: Connection refused"),
    ]


def stored(folder: Path) -> None:
    """A document, its page, a response and prepared texts."""
    text = "the rules"
    with (
        PageStore(folder, max_size=2**24, fingerprint="f") as pages,
        OwnRegistry(folder) as known,
    ):
        pages.put(PAGE, b"", (1, 2), b"kv" * 5000)
        known.publish(Document("rules", 1, text, etag_of(text), "public", "tenant:a", 1), [])
    with FileResponses(folder / "responses", ttl_s=60, max_size=2**20) as responses:
        asyncio.run(put(responses))
    PreparedTexts(folder / "prepared.sqlite3", "recipe").close()


async def put(responses: FileResponses) -> None:
    await responses.put("alice", "resp_1", b"an answer")


def flip(path: Path, what: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(what)] ^= 4
    path.write_bytes(content)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_sound_store_is_looked_at_and_left_as_it_is(tmp_path: Path) -> None:
    stored(tmp_path)
    before = contents(tmp_path)
    found = list(store_findings(tmp_path))
    assert levels(found) == dict.fromkeys(("documents", "pages", "responses", "prepared texts"), "ok"), found
    assert "1 of 1 read" in found[1].what and "1 stored" in found[2].what
    assert contents(tmp_path) == before


def test_a_store_in_use_is_looked_at(tmp_path: Path) -> None:
    stored(tmp_path)
    with (
        PageStore(tmp_path, max_size=2**24, fingerprint="f") as pages,
        OwnRegistry(tmp_path) as registry,
        FileResponses(tmp_path / "responses", ttl_s=60, max_size=2**20) as responses,
    ):
        pages.put(bytes(32), b"", (1,), b"more")
        registry.pin(DocumentRef("rules", 1), True)
        asyncio.run(put(responses))
        assert {f.level for f in store_findings(tmp_path)} == {"ok"}


def test_what_is_damaged_in_a_store_is_named(tmp_path: Path) -> None:
    stored(tmp_path)
    flip(tmp_path / "kvproxy.sqlite3", b"the rules")
    flip(tmp_path / "pages" / page_name(PAGE), b"kvkv")
    flip(tmp_path / "responses" / "cache.db", b"an answer")
    flip(tmp_path / "prepared.sqlite3", b"SQLite format 3")
    before = contents(tmp_path)
    found = {f.check: f for f in store_findings(tmp_path)}
    assert (
        found["documents"].level == "fail"
        and "rules@1 is not served: the text does not match" in found["documents"].what
    )
    assert found["pages"].level == "warn" and "fails its checksum" in found["pages"].what
    assert found["responses"].level == "warn" and found["responses"].what == "response resp_1 is damaged"
    assert found["prepared texts"].level == "warn" and "not a database" in found["prepared texts"].what
    assert all(f.advice for f in found.values()) and contents(tmp_path) == before


def test_what_was_set_aside_is_named_until_it_is_removed(tmp_path: Path) -> None:
    stored(tmp_path)
    for index in ("pages", "responses"):
        (tmp_path / index / "cache.db").write_bytes(b"")
    assert [f.what for f in store_findings(tmp_path) if f.level == "warn"] == ["index: the file is empty"] * 2
    flip(tmp_path / "kvproxy.sqlite3", b"the rules")
    with PageStore(tmp_path, max_size=2**24, fingerprint="f"), OwnRegistry(tmp_path) as known:
        FileResponses(tmp_path / "responses", ttl_s=60, max_size=2**20).close()
        known.load()
    (finding,) = [f for f in store_findings(tmp_path) if f.level != "ok"]
    assert (finding.level, finding.check) == ("warn", "set aside") and "then remove" in finding.advice
    for folder in set_aside(tmp_path):
        shutil.rmtree(tmp_path / folder)
    assert {f.level for f in store_findings(tmp_path)} == {"ok"}


def test_of_a_large_store_a_part_is_read(tmp_path: Path) -> None:
    with PageStore(tmp_path, max_size=2**24, fingerprint="f") as pages:
        for i in range(20):
            pages.put(bytes([i]) * 32, b"", (1,), bytes(4096))
    (finding,) = store_findings(tmp_path, pages_read=5 * 8192)
    assert finding.what == "6 of 20 read, all sound"
