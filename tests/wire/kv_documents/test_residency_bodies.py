from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from kvproxy.wire.kv_documents.residency_bodies import KvPin, KvWarm
from tests.server.doubles import client_of, make_proxy
from tests.server.routes.test_documents_route import DOCUMENTS, publish


async def test_the_answers_are_of_their_types() -> None:
    async with client_of(make_proxy()) as http:
        await publish(http)
        for path, type_ in (("pin", KvPin), ("unpin", KvPin), ("warm", KvWarm)):
            body = await (await http.post(f"{DOCUMENTS}/law/handbook/{path}")).json()
            TypeAdapter(type_).validate_python(body, strict=True)
            with pytest.raises(ValidationError):
                TypeAdapter(type_).validate_python({**body, "document": None}, strict=True)
