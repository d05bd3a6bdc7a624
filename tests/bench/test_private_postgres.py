from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text

from kvproxy.bench.private_postgres import free_port, private_postgres, programs
from kvproxy.errors import SetupError


@pytest.mark.skipif(programs() is None, reason="needs PostgreSQL's server programs")
def test_it_serves_until_the_block_ends() -> None:
    with private_postgres() as server:
        engine = create_engine(server.url)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 6 * 7")).scalar_one() == 42
        engine.dispose()
        data = server.folder
        assert data.exists()
    assert not data.exists()


def test_without_programs_it_says_what_to_install() -> None:
    with pytest.raises(SetupError, match="apt-get install postgresql"), private_postgres(lambda: None):
        pass


def test_a_free_port_is_nobodys() -> None:
    assert 1024 <= free_port() <= 65535
