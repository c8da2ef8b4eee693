"""Types are mapped to what this machine has: the most specific backend wins, and a wrong file says what is wrong."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from maestro_py.workers.backends import NO_CONFIG, Backends, ConfigInvalid, WorkerConfig, parse_config, read_config


def parsed(text: str) -> WorkerConfig:
    return parse_config(tomllib.loads(text))


EVERY_WIDTH = """
[[backend]]
type = "spark"
function = "jobs:any"

[[backend]]
type = "spark"
image = "etl:1"
function = "jobs:by_image"

[[backend]]
type = "spark"
step = "prepare"
function = "jobs:by_step"

[[backend]]
type = "spark"
step = "prepare"
image = "etl:1"
function = "jobs:by_both"
"""


@pytest.mark.parametrize(
    ("step", "image", "expected"),
    [
        ("prepare", "etl:1", "jobs:by_both"),
        ("prepare", "etl:2", "jobs:by_step"),
        ("train", "etl:1", "jobs:by_image"),
        ("train", None, "jobs:any"),
    ],
)
def test_the_most_specific_backend_wins(step: str, image: str | None, expected: str) -> None:
    """Step and image before step, step before image, image before the type alone."""
    backend = Backends(parsed(EVERY_WIDTH).backend).match("spark", step, image)

    assert backend is not None
    assert expected == backend.function


def test_the_keys_say_what_the_backends_are_mapped_by() -> None:
    """An attempt is offered by its type, its image or its step."""
    backends = Backends(parsed(EVERY_WIDTH).backend)

    assert {"spark", "spark:image=etl:1", "spark:step=prepare"} == backends.keys_of("spark")


def test_nothing_fits_another_type() -> None:
    """A backend is for the attempts of its own type only."""
    assert Backends(parsed(EVERY_WIDTH).backend).match("trino", "prepare", "etl:1") is None


def test_a_command_and_the_concurrency_of_a_type() -> None:
    """A backend may be a command, and a type may be limited within the slots."""
    config = parsed('[[backend]]\ntype = "kubernetes"\ncommand = "python train.py"\n[concurrency]\nkubernetes = 2\n')

    assert "python train.py" == config.backend[0].command
    assert {"kubernetes": 2} == config.concurrency


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[backend]]\ntype = "spark"\n', "backend 1: give exactly one of: function, command"),
        ('[[backend]]\ntype = "spark"\nfunction = "a:b"\ncommand = "c"\n', "backend 1: give exactly one of"),
        ('[[backend]]\nfunction = "a:b"\n', "backend 1: Object missing required field `type`"),
        ('[[backend]]\ntype = "spark"\nfunction = "a.b"\n', 'backend 1: a function is named "module:function"'),
        ('[[backend]]\ntype = "spark"\nfunction = "a:b"\nimages = "x"\n', "unknown field `images`"),
        ('[[backend]]\ntype = "spark"\nfunction = "a:b"\nimage = ""\n', "backend 1: image is empty"),
        ('[backend]\ntype = "spark"\n', "with two brackets"),
        ("[concurrency]\nspark = 0\n", "concurrency.spark: at least 1"),
        ("[slots]\n", "unknown field `slots`"),
        (
            '[[backend]]\ntype = "s"\ncommand = "x"\n[[backend]]\ntype = "s"\ncommand = "y"\n',
            "backend 2: the same type, image and step as backend 1",
        ),
        (
            '[[backend]]\ntype = "s"\nstep = "a"\nimage = "i"\ncommand = "x"\n',
            "backend 1: it names a step and an image; step 'a' with another image needs a backend too",
        ),
    ],
)
def test_a_wrong_entry_is_named(text: str, said: str) -> None:
    """The error counts the entries and says what is wrong with the one."""
    with pytest.raises(ConfigInvalid) as caught:
        parsed(text)

    assert said in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The path is in the error."""
    with pytest.raises(ConfigInvalid, match=r"nowhere\.toml: cannot be read: No such file"):
        read_config(tmp_path / "nowhere.toml")


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    """The path and the line are in the error."""
    path = tmp_path / "worker.toml"
    path.write_text("[[backend\n")

    with pytest.raises(ConfigInvalid, match=r"worker\.toml: this is no TOML: .*line 1"):
        read_config(path)


def test_without_a_file_nothing_is_mapped() -> None:
    """The configuration is optional."""
    assert NO_CONFIG == read_config(None)


def test_the_example_in_the_documentation_is_valid() -> None:
    """Whoever copies it gets what the text says."""
    text = (Path(__file__).parents[3] / "docs" / "workers.md").read_text()
    (example,) = [block for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if "[[backend]]" in block]
    config = parsed(example)

    assert ["spark:image=netflix/etl:v2.3", "spark:step=compute_features", "kubernetes"] == [
        backend.backend_key for backend in config.backend
    ]
