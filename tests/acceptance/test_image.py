"""The steps that build the image work by hand, in an empty folder, and what they install runs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_wheel_that_the_image_installs_carries_all_that_a_process_needs(tmp_path: Path) -> None:
    """The files that the Dockerfile copies build a wheel with the command, the migrations and every step type."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    source = tmp_path / "source"
    source.mkdir()
    for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.M):
        *names, target = line.split()
        for name in names:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, source / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, source / target)
    run(source, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(tmp_path / "wheels"), ".")
    (wheel,) = (tmp_path / "wheels").glob("maestro_py-*.whl")
    run(tmp_path, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path / "site"), str(wheel))

    program = f"""
import sys; sys.path.insert(0, {str(tmp_path / "site")!r})
import maestro_py, maestro_py.cli
from maestro_py.storage import migrate
from maestro_py.workers.registry import installed_step_types
print(maestro_py.__file__, migrate.head(), sorted(t.kind for t in installed_step_types()))
"""
    said = run(tmp_path, "-c", program)

    assert str(tmp_path / "site") in said
    assert "None" not in said
    assert all(kind in said for kind in ("shell", "python"))


def run(folder: Path, *arguments: str) -> str:
    """Run Python in *folder* and return what it printed."""
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=180)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout
