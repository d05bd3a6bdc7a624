"""The object stores of tests/objects."""

from __future__ import annotations

from tests.objects.conftest import bucket, faulty, folder_address, s3_server

__all__ = ["bucket", "faulty", "folder_address", "s3_server"]
