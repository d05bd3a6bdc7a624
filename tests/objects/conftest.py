"""An S3 of one's own: moto's server on loopback, one for the run, with a bucket for each test."""

from __future__ import annotations

import logging
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kvproxy.objects.object_address import ObjectAddress
from tests.objects.fault_proxy import FaultProxy


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def new_bucket(s3_server: str) -> str:
    name = f"kv-{uuid.uuid4().hex[:12]}"
    signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request"}
    request = urllib.request.Request(f"{s3_server}/{name}", method="PUT", headers=signed)
    with urllib.request.urlopen(request, timeout=30):
        return name


@pytest.fixture
def bucket(s3_server: str) -> str:
    return new_bucket(s3_server)


def s3_address(endpoint: str, bucket: str, timeout_s: float = 20.0, **bounds: int) -> ObjectAddress:
    options = {
        "endpoint": endpoint,
        "region": "us-east-1",
        "access_key_id": "a",
        "secret_access_key": "b",
    }
    return ObjectAddress(f"s3://{bucket}/fleet", options, timeout_s, **bounds)


@pytest.fixture
def faulty(s3_server: str) -> Iterator[FaultProxy]:
    url = urlsplit(s3_server)
    assert url.hostname is not None and url.port is not None
    proxy = FaultProxy((url.hostname, url.port))
    yield proxy
    proxy.close()


@pytest.fixture
def folder_address(tmp_path: Path) -> ObjectAddress:
    return ObjectAddress(f"file://{tmp_path / 'objects'}")
