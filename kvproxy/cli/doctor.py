"""Examination of an installation for causes of impossible, wrong or slow hits, before anything is served.

A finding is made by a pure function from values; :func:`examine` reads the values.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psutil

from kvproxy.cli.address_findings import fleet_findings, hub_fault, hub_finding, upstream_finding
from kvproxy.cli.kernel_findings import are_usable, isa_finding, kernels_finding, read_kernels
from kvproxy.cli.store_findings import store_findings
from kvproxy.config import Config
from kvproxy.core import PAGE_TOKENS
from kvproxy.errors import KVProxyError, SetupError
from kvproxy.terminal.finding import Finding

if TYPE_CHECKING:
    from kvproxy.engine.models.footprint import Footprint
    from kvproxy.engine.models.host import Host

TESTED_TORCH = "2.13.0"
"""The version in constraints.txt: a test holds the two together."""

_DTYPE_BYTES = {"bfloat16": 2, "float32": 4}


def examine(
    config: Config, cache_dir: Path, progress: Callable[[int, int], None] | None = None
) -> Iterator[Finding]:
    """All findings, each as soon as it is known. Converts the bundled model at its first use.

    Example: ``list(examine(Config(), default_cache_dir()))``
    """
    if config.serves_local:
        yield from _engine_findings(config, cache_dir, progress)
    yield from disk_findings(config.store.path, config.store.max_size + config.store.spill_max_size)
    yield from store_findings(config.store.path)
    yield port_finding(config.server.host, config.server.port)
    yield access_finding(config.server.host, keys=len(config.server.api_keys))
    with ThreadPoolExecutor(max_workers=8) as pool:
        for found in pool.map(lambda fleet: list(fleet_findings(fleet, cache_dir)), config.fleets):
            yield from found
        yield from pool.map(lambda u: upstream_finding(u.name, u.params), config.upstreams)


def _engine_findings(
    config: Config, cache_dir: Path, progress: Callable[[int, int], None] | None
) -> Iterator[Finding]:
    """Of a model that this process computes: fleets have no engine here, and import no torch."""
    from kvproxy.engine.models.host import read_host
    from kvproxy.engine.models.kernel_settings import kernel_variables

    host, kernels = read_host(), read_kernels()
    yield torch_finding(host)
    yield isa_finding(host, config.model.dtype, config.model.device, torch_only=not are_usable(kernels))
    if host.cuda is None or config.model.device == "cpu":
        yield kernels_finding(kernels)
    yield settings_finding(kernel_variables())
    yield from _model_findings(config, cache_dir, progress)


def torch_finding(host: Host) -> Finding:
    """Report whether torch is the version that the tests run with."""
    if host.torch.split("+")[0] == TESTED_TORCH:
        return Finding("ok", "torch", host.torch)
    return Finding(
        "warn",
        "torch",
        f"{host.torch}; kvproxy is tested with {TESTED_TORCH}",
        f"install torch=={TESTED_TORCH}, or trust what `kvproxy verify` measures; pages kept under another "
        "version are made anew",
    )


def settings_finding(variables: Mapping[str, str]) -> Finding:
    """``variables``: those of the environment that kernel libraries read."""
    if not variables:
        return Finding("ok", "kernel settings", "none in the environment")
    what = ", ".join(f"{k}={v}" for k, v in variables.items())
    return Finding(
        "warn",
        "kernel settings",
        what,
        "they may change the kernels' bits or speed: pages that were kept without them are computed anew where the "
        "bits differ, so set them for every start or for none",
    )


def _model_findings(
    config: Config, cache_dir: Path, progress: Callable[[int, int], None] | None
) -> Iterator[Finding]:
    from kvproxy.engine.models.source import model_on_disk

    try:
        folder = model_on_disk(
            config.model.path, revision=config.model.revision, cache_dir=cache_dir, progress=progress
        )
    except SetupError as e:
        yield Finding("fail", "model", e.message, "give another --model, or do what the sentence says")
        return
    if folder is None:
        yield hub_finding(config.model.path, hub_fault())
        return
    yield Finding("ok", "model", f"{folder.name} in {folder.path}")
    checks: dict[str, Callable[[Config, Path], Finding]] = {
        "architecture": _architecture,
        "memory": _memory,
        "tokenizer": _tokenizer,
        "template": _template,
    }
    for check, examine_folder in checks.items():
        try:
            yield examine_folder(config, folder.path)
        except KVProxyError as e:
            yield Finding("fail", check, e.message, "give another --model")


def _architecture(_: Config, folder: Path) -> Finding:
    from kvproxy.engine.forward.tile_model import read_config
    from kvproxy.engine.models.supported import check_supported

    model = read_config(folder)
    check_supported(model)
    return Finding("ok", "architecture", f"{model.model_type}, dense, full attention, RoPE")


def _memory(config: Config, folder: Path) -> Finding:
    from kvproxy.engine.models.footprint import read_footprint

    footprint = read_footprint(folder, _DTYPE_BYTES[config.model.dtype])
    return memory_finding(footprint, psutil.virtual_memory().available, config.engine.page_budget)


def memory_finding(footprint: Footprint, free: int, budget: int | Literal["auto"]) -> Finding:
    """``free`` in bytes. A page budget must hold at least two pages: a document's and its reader's.

    Example: ``memory_finding(footprint, 16 * 2**30, "auto")``
    """
    left = free - footprint.weights_bytes
    pages = left if budget == "auto" else budget
    tokens = max(0, pages) // footprint.kv_bytes_per_token
    what = f"weights {_size(footprint.weights_bytes)}, {_size(free)} free, KV for about {tokens:,} tokens"
    if left < 0:
        return Finding("fail", "memory", what, "the weights do not fit: take a smaller model or free memory")
    if tokens < 2 * PAGE_TOKENS:
        return Finding("fail", "memory", what, "no document fits: raise engine.page_budget or free memory")
    if pages > left:
        return Finding("warn", "memory", what, "engine.page_budget is more than what is free: lower it")
    if tokens < footprint.max_context:
        advice = f"less than one full context ({footprint.max_context:,}): long requests will be refused"
        return Finding("warn", "memory", what, advice)
    return Finding("ok", "memory", what)


def _tokenizer(_: Config, folder: Path) -> Finding:
    from kvproxy.documents.tokens.tokenizer import Tokenizer

    return tokenizer_finding(Tokenizer.load(folder).join_supported)


def tokenizer_finding(join_supported: bool) -> Finding:
    """Report whether the tokenizer can be cut and joined exactly."""
    if join_supported:
        return Finding("ok", "tokenizer", "known documents are tokenised once")
    return Finding(
        "warn",
        "tokenizer",
        "this kind is not understood well enough to join token lists",
        "hits stay exact, but each request tokenises its document again",
    )


def _template(_: Config, folder: Path) -> Finding:
    from kvproxy.documents.prompts.template import ChatTemplate

    return template_finding(ChatTemplate.load(folder).uses_clock)


def template_finding(uses_clock: bool) -> Finding:
    """Report whether the chat template writes the date into prompts."""
    if not uses_clock:
        return Finding("ok", "template", "present, does not read the clock")
    return Finding(
        "warn",
        "template",
        "it writes the date into the prompt: what stands behind the date is prefilled anew each day",
        "use a model whose template does not, or edit chat_template.jinja in the model folder",
    )


def disk_findings(store: Path, max_size: int) -> Iterator[Finding]:
    """Of the folder that keeps published pages; it need not exist yet."""
    existing = next(p for p in (store, *store.absolute().parents) if p.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        advice = "set store.path (or --store) to a folder that you may write"
        yield Finding("fail", "store", f"{existing} is no folder that can be written", advice)
        return
    yield space_finding(store, shutil.disk_usage(existing).free, max_size)


def space_finding(store: Path, free: int, max_size: int) -> Finding:
    """Report whether the disk has room for the store's ``max_size``. Sizes in bytes.

    Example: ``space_finding(Path("store"), 2**30, 2**34)``
    """
    what = f"{store}: {_size(free)} free, up to {_size(max_size)} wanted"
    if free < 2**30:
        return Finding("fail", "store", what, "publishing would soon fail: free space, or move it")
    if free < max_size:
        return Finding("warn", "store", what, "lower store.max_size, or move it with store.path")
    return Finding("ok", "store", what)


def port_finding(host: str, port: int) -> Finding:
    """Report whether the port is free."""
    if port == 0:
        return Finding("ok", "port", f"{host}, any free one")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(address)
    except OSError as e:
        advice = "give another with --port, or end the process that has it"
        return Finding("fail", "port", f"{host}:{port}: {e.strerror or e}", advice)
    return Finding("ok", "port", f"{host}:{port} is free")


def access_finding(host: str, *, keys: int) -> Finding:
    """Report whether the port is open to callers without an API key: ``host`` as it is listened on."""
    if keys:
        return Finding("ok", "access", f"{keys} API key{'s' if keys > 1 else ''}")
    if is_loopback(host):
        return Finding("ok", "access", f"anyone on this machine: {host} is reached from nowhere else")
    return Finding(
        "warn",
        "access",
        f"anyone who reaches {host or 'this machine'} may read, publish and delete: there are no API keys",
        "set server.api_keys, or server.host to 127.0.0.1",
    )


def is_loopback(host: str) -> bool:
    """Of an address or a name, without asking a name server: an unknown name counts as reached from elsewhere."""
    if host.lower().rstrip(".") == "localhost" or host.lower().rstrip(".").endswith(".localhost"):
        return True
    try:
        return ip_address(host.strip("[]").split("%")[0]).is_loopback
    except ValueError:
        return False


def _size(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
