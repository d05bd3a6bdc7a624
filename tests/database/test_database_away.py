from __future__ import annotations

import pytest
from sqlalchemy import exc

from kvproxy.database.database_away import database_away
from kvproxy.errors import Unavailable


def test_a_database_that_is_away_is_a_503_and_a_bad_row_is_not() -> None:
    with pytest.raises(Unavailable, match=r"Accounts cannot be changed.*no route") as refused:
        with database_away("Accounts"):
            raise exc.OperationalError("SELECT 1", {}, Exception("no  route"))
    assert refused.value.retry_after_s
    with pytest.raises(exc.IntegrityError), database_away("Accounts"):
        raise exc.IntegrityError("INSERT", {}, Exception("twice"))
    with pytest.raises(KeyError), database_away("Accounts"):
        raise KeyError
