"""
Put the migration scripts of ``alembic/`` inside the wheel, as ``maestro_py/storage/alembic``.

Everything else about the package is said in ``pyproject.toml``.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithMigrations(build_py):
    """Build as usual, then copy the scripts; an editable install finds them in the checkout instead."""

    def run(self) -> None:
        """Copy ``alembic/`` beside the module that runs it."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, "maestro_py", "storage", "alembic")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(Path(__file__).parent / "alembic", target, ignore=shutil.ignore_patterns("__pycache__"))


setup(cmdclass={"build_py": BuildWithMigrations})
