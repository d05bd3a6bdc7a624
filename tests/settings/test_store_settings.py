"""Settings of the tiers: what is refused, in words that say what to write, and never with a secret in them."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from kvproxy.config import load_config
from kvproxy.errors import SetupError

KEY = base64.b64encode(bytes(range(32))).decode()


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_object_store_and_keys_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KV_KEY", KEY)
    monkeypatch.setenv("S3_SECRET", "very-secret")
    text = """
store:
  encryption_keys: "${KV_KEY}"
  objects: {url: s3://kv/fleet, acknowledge: objects, options: {secret_access_key: "${S3_SECRET}"}}
"""
    store = load_config(written(tmp_path, text)).store
    assert (store.encryption_keys, store.objects.acknowledge) == ((KEY,), "objects")
    assert store.objects.options == {"secret_access_key": "very-secret"}
    assert "very-secret" not in repr(store) and KEY not in repr(store)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "store: {objects: {url: 'ftp://x/y'}}",
            "'ftp' is no store; write file:///…, s3://…, gs://… or az://…",
        ),
        ("store: {objects: {url: 'file://relative/x'}}", "'file' is no store"),
        ("store: {objects: {uri: 's3://x'}}", "unknown setting 'uri'; did you mean 'url'?"),
        ("store: {objects: {acknowledge: remote}}", "store.objects.acknowledge"),
        ("store: {objects: {timeout_s: 0}}", "store.objects.timeout_s"),
        ("store: {encryption_keys: [c2hvcnQ=]}", "an encryption key has 32 bytes, this one has 5"),
        ("store: {encryption_keys: 'not base64'}", "make one: openssl rand -base64 32"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SetupError) as raised:
        load_config(written(tmp_path, text))
    assert words in raised.value.message
    assert "c2hvcnQ" not in raised.value.message and "not base64" not in raised.value.message
