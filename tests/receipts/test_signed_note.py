from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from kvproxy.errors import SignatureRefused
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.receipts.signed_note import (
    Checkpoint,
    key_hash,
    public_bytes,
    signed_checkpoint,
    verifier_key,
    verify_checkpoint,
)


def note_of(keys: HostKeys, checkpoint: Checkpoint) -> str:
    def sign(message: bytes) -> tuple[bytes, bytes]:
        key, signature = keys.sign_bytes(message)
        return public_bytes(key.public), signature

    return signed_checkpoint(checkpoint, sign)


def test_the_form_is_the_one_of_transparency_logs(tmp_path: Path) -> None:
    root = bytes(range(32))
    lines = note_of(HostKeys.open(tmp_path), Checkpoint("kv.example", 12, root)).split("\n")
    assert lines[:4] == ["kv.example", "12", base64.b64encode(root).decode(), ""]
    assert lines[4].startswith("\u2014 kv.example ") and lines[5:] == [""]
    assert len(base64.b64decode(lines[4].split(" ")[2])) == 4 + 64


def test_a_key_in_the_form_of_its_tools(tmp_path: Path) -> None:
    public = public_bytes(HostKeys.open(tmp_path).jwks()["keys"][0])
    name, hash, encoded = verifier_key("kv.example", public).split("+", 2)
    assert (name, len(hash)) == ("kv.example", 8) and base64.b64decode(encoded) == b"\x01" + public


def test_a_note_is_verified_by_any_of_the_hosts_keys(tmp_path: Path) -> None:
    keys = HostKeys.open(tmp_path)
    checkpoint = Checkpoint("kv.example", 12, bytes(32))
    note = note_of(keys, checkpoint)
    keys.rotate()
    assert verify_checkpoint(note, keys.jwks()) == checkpoint
    witnessed = note + "\u2014 witness.example " + base64.b64encode(bytes(68)).decode() + "\n"
    assert verify_checkpoint(witnessed, json.loads(json.dumps(keys.jwks()))) == checkpoint


def test_what_was_changed_is_refused(tmp_path: Path) -> None:
    keys = HostKeys.open(tmp_path / "a")
    note = note_of(keys, Checkpoint("kv.example", 12, bytes(32)))
    for wrong in (
        note.replace("12", "13"),
        note.replace("kv.example\n", "kv.elsewhere\n"),
        note.replace("kv.example", "kv.elsewhere"),
        note.replace("\n12\n", "\n012\n"),
        note.split("\n\n")[0],
        note.replace("AAAA", "AAAB", 1),
        "",
        "a\nb\nc\n\n\u2014 a b\n",
    ):
        with pytest.raises(SignatureRefused):
            verify_checkpoint(wrong, keys.jwks())
    with pytest.raises(SignatureRefused):
        verify_checkpoint(note, HostKeys.open(tmp_path / "b").jwks())


def test_the_published_example_of_signed_notes() -> None:
    """That of Go's sumdb/note, from which the format comes."""
    verifier = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    name, _, encoded = verifier.split("+", 2)
    public = base64.b64decode(encoded)[1:]
    assert verifier_key(name, public) == verifier
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    sealed = base64.b64decode(
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    )
    assert sealed[:4] == key_hash(name, public)
    Ed25519PublicKey.from_public_bytes(public).verify(sealed[4:], text.encode())
