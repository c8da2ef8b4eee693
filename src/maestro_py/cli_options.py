"""The options that several client commands share, and the client that they describe."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from maestro_py.client import MaestroClient

Url = Annotated[str, typer.Option(envvar="MAESTRO_URL", help="The server.")]
User = Annotated[str | None, typer.Option(envvar="MAESTRO_USER", help="Who acts; otherwise the login name.")]


def user_name(user: str | None) -> str:
    """Return who acts."""
    return user or getpass.getuser()


def client_of(url: str, user: str | None) -> MaestroClient:
    """Return a client of the server that acts for the user."""
    return MaestroClient(url, user_name(user))
