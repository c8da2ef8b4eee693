"""The address of the database holds a password, and whatever is wrong with it, it is not told."""

from __future__ import annotations

import asyncio

import pytest

from maestro_py.bootstrap import serve_engine
from maestro_py.settings import Settings, SettingsInvalid


@pytest.mark.parametrize(
    "url", ["postgresql://u:s3cret@[::1", "postgresql://u:s3cr%zzet@host/db", "postgresql://u:s3cret@host/db?s3cr=1"]
)
async def test_an_address_that_cannot_be_read_is_refused_at_once_without_quoting_it(url: str) -> None:
    """The driver quotes it, and a process would try to connect to it, and say so, for ever."""
    with pytest.raises(SettingsInvalid, match="MAESTRO_DATABASE_URL") as refused:
        await serve_engine(Settings(database_url=url), asyncio.Event())

    assert "s3cr" not in str(refused.value)
