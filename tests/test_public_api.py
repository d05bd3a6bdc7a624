"""The public Python API: its names, their types as a type checker sees them, its errors, and how light it is."""

from __future__ import annotations

import inspect
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import kvproxy
from kvproxy import errors
from kvproxy.errors import KVProxyError

INTERNAL = {"HitLost", "SetupError"}
"""Errors that no HTTP answer shows: the first becomes a miss, the second is the command line's."""

ERRORS = sorted(
    (e for e in vars(errors).values() if inspect.isclass(e) and issubclass(e, KVProxyError)),
    key=lambda e: e.__name__,
)

CLIENT = {
    "publish": "document text visibility pinned price licence ttl_s progress",
    "documents": "learned tenant",
    "document": "ref text",
    "delete": "ref",
    "ask": "question documents instructions model max_tokens temperature reuse",
    "explain": "request against previous",
    "verify": "ref tokens model progress",
    "served": "model",
    "manage": "method path body",
    "topup": "amount payer",
    "requests": "last",
    "overview": "tenant points",
    "misses": "most cause tenant",
    "ended": "last",
    "ready": "",
    "host": "",
    "catalog": "id publisher sha256",
    "terms": "document",
    "set_terms": "document price licence",
    "quote": "request document sha256 max_tokens",
    "receipt": "receipt_id",
    "receipts": "request_id",
    "statement": "publisher since until receipts",
    "touch": "ref ttl_s",
    "revoke": "ref reason",
    "set_alias": "document alias version",
    "delete_alias": "document alias",
    "usage": "",
    "pin": "ref partial",
    "unpin": "ref",
    "warm": "ref progress",
    "promote": "ref document visibility tenant",
    "manifest": "ref",
    "export_document": "ref file progress",
    "import_document": "file document visibility pages pinned jwks progress",
    "close": "",
}
"""The client's calls and their parameters: a change here is a change for users, and belongs in the changelog."""

HEAVY = {
    "torch",
    "transformers",
    "litellm",
    "pydantic",
    "aiohttp",
    "openai",
    "httpx",
    "numpy",
    "yaml",
    "rich",
}


def in_a_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_every_name_can_be_imported() -> None:
    namespace: dict[str, object] = {}
    exec("from kvproxy import *", namespace)
    assert set(kvproxy.__all__) <= namespace.keys()
    assert set(kvproxy.__all__) <= set(dir(kvproxy))


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'Cliend'"):
        _ = kvproxy.Cliend
    with pytest.raises(ImportError):
        exec("from kvproxy import HitLost")


def test_importing_the_package_is_light() -> None:
    loaded = in_a_new_process("import kvproxy, sys; print(*{n.split('.')[0] for n in sys.modules})").split()
    assert "kvproxy" in loaded and HEAVY & set(loaded) == set()


def test_importing_the_client_loads_httpx_and_no_server() -> None:
    loaded = in_a_new_process(
        "from kvproxy import Client; import sys; print(*{n.split('.')[0] for n in sys.modules})"
    )
    assert HEAVY & set(loaded.split()) <= {"httpx", "rich"}  # httpx imports rich for its own command line


@pytest.mark.parametrize("name", CLIENT)
def test_the_calls_of_the_client(name: str) -> None:
    call = getattr(kvproxy.Client, name)
    parameters = [p for p in inspect.signature(call).parameters if p != "self"]
    assert parameters == CLIENT[name].split()
    hints = typing.get_type_hints(call)
    assert set(parameters) | {"return"} == hints.keys()
    assert call.__doc__ and (not parameters or "Example:" in call.__doc__)


def test_the_client_has_no_other_calls() -> None:
    client = kvproxy.Client
    public = {name for name in dir(client) if callable(getattr(client, name)) and not name.startswith("_")}
    assert public == CLIENT.keys()


def test_every_error_that_a_client_can_meet_is_public() -> None:
    names = {error.__name__ for error in ERRORS}
    assert INTERNAL < names
    assert names - INTERNAL == set(kvproxy.__all__) - {
        "Client",
        "DocumentAnswer",
        "RequestFailed",
        "__version__",
    }


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: e.__name__)
def test_every_error_says_what_it_is_and_its_status(error: type[KVProxyError]) -> None:
    doc = vars(error).get("__doc__")
    assert doc, "no docstring of its own"
    bases = {
        "KVProxyError",
        "Retryable",
        "UpstreamError",
    } | INTERNAL  # their status is their children's, or none
    if error.__name__ not in bases:
        assert f"Status {int(error.status)}" in doc
    assert (error.__name__ in errors.__doc__) or error.__name__ == "Retryable", "missing in the tree"


def test_codes_name_one_error_each() -> None:
    """`RequestFailed.kind` finds a class by its code."""
    codes = [e.code for e in ERRORS if e.code is not None]
    assert len(codes) == len(set(codes)) > 20


SNIPPET = """
from kvproxy import Client, DocumentNotFound, RequestFailed, __version__

def answer(text: str) -> str:
    with Client("http://127.0.0.1:8321", api_key="k") as client:
        try:
            client.publish("handbook", text, visibility="private", progress=lambda done, total: None)
        except RequestFailed as e:
            reveal_type(e.kind)
            if e.kind is DocumentNotFound:
                raise
        reveal_type(client.documents())
        answer = client.ask("Why?", ["handbook"], max_tokens=5)
        reveal_type(answer.cached_tokens)
        client.ask("Why?", document="handbook")
        client.delete(3)
        return answer.text + __version__
"""


def test_a_type_checker_sees_the_types(tmp_path: Path) -> None:
    """With the package's own ``py.typed`` and no settings of this project: as in a user's code."""
    program = tmp_path / "program.py"
    program.write_text(SNIPPET)
    root = Path(kvproxy.__file__).parent
    assert (root / "py.typed").is_file()
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file",
        "",
        "--follow-imports",
        "silent",
        "program.py",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=environment(root.parent, tmp_path)
    )
    lines = [line.split(": ", 1)[1] for line in done.stdout.splitlines() if line.startswith("program.py:")]
    told = [line for line in lines if "Revealed" in line or line.startswith("error")]
    assert told == [
        'note: Revealed type is "type[kvproxy.errors.error_base.KVProxyError] | None"',
        'note: Revealed type is "list[dict[str, Any]]"',
        'note: Revealed type is "int"',
        'error: Unexpected keyword argument "document" for "ask" of "QuestionCalls"; did you mean "documents"?'
        "  [call-arg]",
        'error: Argument 1 to "delete" of "Client" has incompatible type "int"; expected "str"  [arg-type]',
    ], done.stdout + done.stderr


def environment(root: Path, cache: Path) -> dict[str, str]:
    return {"MYPYPATH": str(root), "MYPY_CACHE_DIR": str(cache / "cache"), "PATH": ""}
