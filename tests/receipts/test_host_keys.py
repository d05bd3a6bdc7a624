from __future__ import annotations

import base64
import json
import logging
import stat
from pathlib import Path

import pytest
from joserfc import jws
from joserfc.jwk import OctKey

from kvproxy.errors import SetupError, SignatureRefused
from kvproxy.receipts.host_keys import FOLDER, ROTATION_DELAY_MS, HostKeys

TYP = "test+jws"


def test_the_first_start_makes_a_key_that_the_next_one_finds(tmp_path: Path) -> None:
    first = HostKeys.open(tmp_path)
    again = HostKeys.open(tmp_path)
    assert [k.id for k in first.keys] == [k.id for k in again.keys]
    assert first.pseudonym_secret == again.pseudonym_secret
    assert again.verify(first.sign({"a": 1}, TYP), TYP) == {"a": 1}


def test_the_algorithm_is_named_as_rfc_9864_has_it(tmp_path: Path) -> None:
    text = HostKeys.open(tmp_path).sign({"b": "é", "a": 1}, TYP)
    head, payload, _ = (base64.urlsafe_b64decode(part + "==") for part in text.split("."))
    assert json.loads(head)["alg"] == "Ed25519" and json.loads(head)["typ"] == TYP
    assert payload == '{"a":1,"b":"é"}'.encode()


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    HostKeys.open(tmp_path)
    files = [p for p in (tmp_path / FOLDER).iterdir() if p.is_file()]
    assert len(files) == 3  # the key, the pseudonyms' secret, the lock
    assert {stat.S_IMODE(p.stat().st_mode) for p in files} == {0o600}
    key = next(p for p in files if p.suffix == ".jwk")
    key.chmod(0o644)
    with pytest.raises(SetupError, match="chmod 600"):
        HostKeys.open(tmp_path)


def test_a_rotation_signs_after_its_delay_and_old_keys_go_on_verifying(tmp_path: Path) -> None:
    keys = HostKeys.open(tmp_path)
    old = keys.sign({"n": 1}, TYP, at_ms=1_000)
    new = keys.rotate(now_ms=10_000)
    assert new.from_ms == 10_000 + ROTATION_DELAY_MS
    assert keys.sign({"n": 1}, TYP, at_ms=new.from_ms - 1) == old
    fresh = keys.sign({"n": 1}, TYP, at_ms=new.from_ms)
    assert fresh != old and keys.verify(old, TYP) == keys.verify(fresh, TYP) == {"n": 1}
    assert [k["kid"] for k in keys.jwks()["keys"]] == [new.id, keys.keys[0].id]
    # Dated before the rotation, a claim is signed again with the key of its time, to the byte.
    assert HostKeys.open(tmp_path).sign({"n": 1}, TYP, at_ms=1_000) == old


def test_another_process_sees_a_rotation(tmp_path: Path) -> None:
    running = HostKeys.open(tmp_path)
    key = HostKeys.open(tmp_path).rotate()
    assert key.id not in [k.id for k in running.keys]
    running.refresh()
    assert key.id in [k.id for k in running.keys]


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_changed_jws_is_refused(tmp_path: Path, part: int) -> None:
    keys = HostKeys.open(tmp_path)
    parts = keys.sign({"price": "1"}, TYP).split(".")
    parts[part] = parts[part][:-3] + ("AAA" if parts[part][-3:] != "AAA" else "BBB")
    with pytest.raises(SignatureRefused):
        keys.verify(".".join(parts), TYP)


def test_a_receipt_is_no_quote_and_another_hosts_key_is_unknown(tmp_path: Path) -> None:
    keys, other = HostKeys.open(tmp_path / "a"), HostKeys.open(tmp_path / "b")
    text = keys.sign({"a": 1}, "receipt")
    with pytest.raises(SignatureRefused, match="and not 'quote'"):
        keys.verify(text, "quote")
    with pytest.raises(SignatureRefused, match="not among the host's keys"):
        other.verify(text, "receipt")
    for wrong in ("", "a.b.c", "é", "." * 5, text + "."):
        with pytest.raises(SignatureRefused):
            keys.verify(wrong, "receipt")


def test_no_other_algorithm_is_taken(tmp_path: Path) -> None:
    """Neither ``none``, nor a MAC that takes the public key for its secret, nor the old name."""
    keys = HostKeys.open(tmp_path)
    public = keys.jwks()["keys"][0]
    for alg in ("none", "HS256", "EdDSA"):
        head = {"alg": alg, "typ": TYP, "kid": public["kid"]}
        forged = ".".join(
            base64.urlsafe_b64encode(part).rstrip(b"=").decode()
            for part in (json.dumps(head).encode(), b'{"a":1}', b"x" * 64)
        )
        with pytest.raises(SignatureRefused):
            keys.verify(forged, TYP)
    with pytest.raises(SignatureRefused):
        key = jws.serialize_compact(
            {"alg": "HS256", "kid": public["kid"], "typ": TYP}, b"{}", _mac(public["x"])
        )
        keys.verify(key, TYP)


def _mac(secret: str) -> OctKey:
    return OctKey.import_key(base64.urlsafe_b64decode(secret + "=="))


def test_no_key_material_in_any_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    keys = HostKeys.open(tmp_path)
    keys.rotate()
    path = next((tmp_path / FOLDER).glob("*.jwk"))
    private = json.loads(path.read_text())["d"]
    path.write_text(path.read_text().replace('"kty"', '"ktx"'))
    with pytest.raises(SetupError) as refused:
        HostKeys.open(tmp_path)
    path.write_text(json.dumps({"d": private}))
    with pytest.raises(SetupError) as broken:
        HostKeys.open(tmp_path)
    said = [repr(keys), str(keys.keys), str(keys.jwks()), str(refused.value), str(broken.value), caplog.text]
    said += [
        str(error.value.__context__)
        for error in (refused, broken)
        if error.value.__suppress_context__ is False
    ]
    assert not any(private in text for text in said)
    assert not any(keys.pseudonym_secret.hex() in text for text in said)
