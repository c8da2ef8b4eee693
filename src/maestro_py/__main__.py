"""``python -m maestro_py`` is ``maestro``."""

from maestro_py.cli import app

if __name__ == "__main__":
    app(prog_name="maestro")
