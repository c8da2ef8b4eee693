"""
The files of the embedded PostgreSQL: making them once, finding them again, clearing what a crash left.

Inside the data directory lies ``postgres/``::

    cluster/     PostgreSQL's own data directory (0700, owned by the account that runs it)
    socket/      its unix socket (0700)
    password     of the superuser ``maestro`` (0600), made once
    server.log   what the server said
    lock         held by the process that runs the server
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from maestro_py.supervisor.errors import EmbeddedPostgresFailed
from maestro_py.supervisor.postgres_binaries import MAJOR_VERSION, Account

#: The superuser and the database that the server has.
USER: Final = "maestro"
DATABASE: Final = "maestro"

#: Where the files go when root's data directory lies under a folder that the server's account cannot enter.
STATE: Final = Path("/var/lib/maestro-py")

_ORPHAN_FAST_SECONDS: Final = 15.0
_ORPHAN_IMMEDIATE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The folder ``postgres/`` of a data directory, ready for a server."""

    folder: Path
    #: Who runs the server; None means we ourselves.
    account: Account | None
    password: str

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.folder / "cluster"

    @property
    def password_file(self) -> Path:
        """The superuser's password, readable by us alone."""
        return self.folder / "password"

    @property
    def socket_folder(self) -> Path:
        """The folder of the unix socket."""
        return self.folder / "socket"

    @property
    def log(self) -> Path:
        """The file that collects what the server says."""
        return self.folder / "server.log"


def cluster_folder(data_directory: Path) -> Path:
    """Return ``postgres/`` of *data_directory*, wherever a link has taken it."""
    return (data_directory / "postgres").resolve()


def place_cluster(data_directory: Path, account: Account | None, say: Callable[[str], None]) -> Path:
    """
    Make ``postgres/`` in *data_directory* and return where it is.

    An *account* that cannot enter the data directory gets a folder under `STATE`, and the data directory a link.
    """
    link = data_directory / "postgres"
    if link.is_symlink() and not link.exists():
        link.unlink()  # what it led to was deleted: begin anew
    if account is not None and not link.exists() and not account.can_enter(data_directory):
        # A fresh name each time: whoever deletes the data directory deletes its data.
        target = STATE / f"postgres-{secrets.token_hex(6)}"
        target.mkdir(mode=0o711, parents=True)
        link.symlink_to(target)
        say(
            f"PostgreSQL does not run as root, and the unprivileged account {account.uid} cannot enter"
            f" {data_directory}: its data is in {target}"
        )
    link.mkdir(mode=0o700 if account is None else 0o711, exist_ok=True)
    return link.resolve()


def prepare_cluster(folder: Path, binaries: Path, account: Account | None) -> Cluster:
    """
    Return the cluster in *folder*, made now if it is not there (about half a second).

    Raises:
        EmbeddedPostgresFailed: It cannot be made, is of another release, or its password is gone.
    """
    data = folder / "cluster"
    if (data / "PG_VERSION").exists():
        version = (data / "PG_VERSION").read_text().strip()
        if version != MAJOR_VERSION:
            raise EmbeddedPostgresFailed(
                f"{data} was made by PostgreSQL {version}, and this is {MAJOR_VERSION}: move the data with"
                " pg_dump, or name another --data-dir"
            )
        if not (folder / "password").exists():
            raise EmbeddedPostgresFailed(f"the password of {data} is gone: {folder / 'password'} is missing")
    cluster = Cluster(folder=folder, account=account, password=_password(folder / "password"))
    _own_folder(cluster.socket_folder, account)
    if not data.exists():
        _make(cluster, binaries)
    return cluster


def environment() -> dict[str, str]:
    """Return the environment of every PostgreSQL program of ours: none of the user's ``PG…`` reach it."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def as_account(account: Account | None) -> Mapping[str, int | list[int]]:
    """Return the arguments of `subprocess` that run a program as *account*."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def _password(file: Path) -> str:
    if not file.exists():
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(24))
    return file.read_text().strip()


def _own_folder(path: Path, account: Account | None) -> None:
    path.mkdir(mode=0o700, exist_ok=True)
    if account is not None:
        os.chown(path, account.uid, account.gid)


def _make(cluster: Cluster, binaries: Path) -> None:
    """Make the cluster beside its place and move it there whole: a crash on the way leaves nothing half made."""
    _check_name(cluster.account)
    unfinished = cluster.folder / "cluster.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    _own_folder(unfinished, cluster.account)
    password_file = cluster.folder / "password.new"
    password_file.unlink(missing_ok=True)
    try:
        password_file.touch(mode=0o600)
        password_file.write_text(cluster.password)
        if cluster.account is not None:
            os.chown(password_file, cluster.account.uid, cluster.account.gid)
        _run(
            cluster,
            [
                str(binaries / "initdb"),
                f"--pgdata={unfinished}",
                f"--username={USER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                # PostgreSQL's own collation: the same order on every machine, whatever its C library knows.
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                # Half a second instead of several; a machine that fails in the seconds after this begins anew.
                "--no-sync",
                "--no-instructions",
            ],
        )
        _run(
            cluster,
            [str(binaries / "postgres"), "--single", "-D", str(unfinished), "postgres"],
            stdin=f"CREATE DATABASE {DATABASE} OWNER {USER};\n",
        )
    finally:
        password_file.unlink(missing_ok=True)
    unfinished.rename(cluster.data)


def _check_name(account: Account | None) -> None:
    uid = os.geteuid() if account is None else account.uid
    try:
        pwd.getpwuid(uid)
    except KeyError:
        raise EmbeddedPostgresFailed(
            f"PostgreSQL's initdb wants the name of the user that runs it, and user id {uid} has none: add a line"
            f" for it to /etc/passwd (maestro:x:{uid}:{uid}::/tmp:/bin/sh), or name a server by MAESTRO_DATABASE_URL"
        ) from None


def _run(cluster: Cluster, command: list[str], stdin: str = "") -> None:
    ran = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd=cluster.folder,
        env=environment(),
        **as_account(cluster.account),  # type: ignore[call-overload]  # a mapping does not match an overload
    )
    if ran.returncode != 0:
        raise EmbeddedPostgresFailed(
            f"{Path(command[0]).name} ended with status {ran.returncode}: {(ran.stderr or ran.stdout).strip()}"
        )


def clear_remains(cluster: Cluster, say: Callable[[str], None]) -> None:
    """
    End a server that outlived its parent and drop the pid file of a dead one; we hold the lock of the folder.

    PostgreSQL clears its file itself unless the number now belongs to another process of the same account,
    which is common in containers, where numbers are small.
    """
    pid = postmaster_pid(cluster)
    if pid is not None and str(cluster.data) in _command_line(pid):
        say(f"PostgreSQL (process {pid}) outlived its parent; it is stopped first")
        _stop_orphan(cluster, pid)
    (cluster.data / "postmaster.pid").unlink(missing_ok=True)
    for remains in cluster.socket_folder.iterdir():  # its lock file names a process, too
        remains.unlink(missing_ok=True)


def postmaster_pid(cluster: Cluster) -> int | None:
    """Return the process that the pid file names, or None without a (readable) one."""
    lines = pid_file_lines(cluster)
    try:
        return int(lines[0]) if lines else None
    except ValueError:
        return None


def pid_file_lines(cluster: Cluster) -> list[str]:
    """Return the lines of ``postmaster.pid``: the process first, "ready" in the eighth once it serves."""
    try:
        return (cluster.data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []


def _stop_orphan(cluster: Cluster, pid: int) -> None:
    for number, seconds in (
        (signal.SIGINT, _ORPHAN_FAST_SECONDS),
        (signal.SIGQUIT, _ORPHAN_IMMEDIATE_SECONDS),
        (signal.SIGKILL, _ORPHAN_IMMEDIATE_SECONDS),
    ):
        if _end(pid, number, seconds):
            return
    raise EmbeddedPostgresFailed(f"process {pid} runs PostgreSQL on {cluster.data} and does not end")


def _end(pid: int, number: signal.Signals, within_seconds: float) -> bool:
    """Send *number* to *pid*; return whether it ended in time.  It is no child of ours, so we look."""
    deadline = time.monotonic() + within_seconds
    try:
        os.kill(pid, number)
        while time.monotonic() < deadline:
            os.kill(pid, 0)
            if not _command_line(pid):  # a zombie, waiting for whoever adopted it
                return True
            time.sleep(0.05)
    except ProcessLookupError:
        return True
    return False


def _command_line(pid: int) -> str:
    """Return the command line of *pid*, "" if there is no such process."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            return ""
    return subprocess.run(
        ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
