"""
Where the embedded Kafka's Java and its jars are; Maven fetches the jars once for all, into the user's cache.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from maestro_py.parent import die_with_parent
from maestro_py.supervisor.errors import EmbeddedKafkaFailed

#: The release that is run.
KAFKA_VERSION: Final = "4.3.1"
#: The log library that the broker finds by itself.
_LOG4J_VERSION: Final = "2.25.4"

_ADVICE: Final = "install openjdk-17-jre-headless and maven, or set MAESTRO_KAFKA"
#: Without this one the others are of no use.
_MAIN_JAR: Final = f"kafka_2.13-{KAFKA_VERSION}.jar"

_POM: Final = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>maestro-py</groupId>
  <artifactId>embedded-kafka</artifactId>
  <version>{KAFKA_VERSION}</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>{_LOG4J_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""


def find_java(environ: Mapping[str, str]) -> Path:
    """
    Return the program ``java``: that of JAVA_HOME, or else the one on the PATH.

    Raises:
        EmbeddedKafkaFailed: There is none.
    """
    home = environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home, "bin")) if home else environ.get("PATH", os.defpath))
    if java is None:
        raise EmbeddedKafkaFailed(f"Kafka needs Java 17 or newer: {_ADVICE}")
    return Path(java)


def jars_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of the jars in the user's cache, whether it is there or not."""
    cache = environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(cache, "maestro-py", f"kafka-{KAFKA_VERSION}")


def find_jars(environ: Mapping[str, str], say: Callable[[str], None]) -> Path:
    """
    Return the folder of the broker's jars, after fetching them (44 MB) if this is the first time.

    Must be called from a thread that lives as long as the download (`maestro_py.parent`).

    Raises:
        EmbeddedKafkaFailed: They are not there and cannot be fetched.
    """
    folder = jars_folder(environ)
    if (folder / _MAIN_JAR).exists():
        return folder
    maven = shutil.which("mvn", path=environ.get("PATH", os.defpath))
    if maven is None:
        raise EmbeddedKafkaFailed(f"Kafka needs Maven, which fetches Kafka {KAFKA_VERSION} once: {_ADVICE}")
    say(f"Maven fetches Kafka {KAFKA_VERSION} (44 MB, once) to {folder}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Another process may fetch at the same time: each has its own folder, and the last one to rename it gives way.
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as unfinished:
        _fetch(maven, Path(unfinished), environ)
        try:
            (Path(unfinished) / "jars").rename(folder)
        except OSError:
            if not (folder / _MAIN_JAR).exists():
                raise
    return folder


def _fetch(maven: str, folder: Path, environ: Mapping[str, str]) -> None:
    (folder / "pom.xml").write_text(_POM)
    ran = subprocess.run(
        [maven, "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={folder / 'jars'}"],
        cwd=folder,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=die_with_parent(signal.SIGKILL),
    )
    if ran.returncode != 0 or not (folder / "jars" / _MAIN_JAR).exists():
        said = (ran.stdout + ran.stderr).strip()[-2_000:]
        raise EmbeddedKafkaFailed(
            f"Maven cannot fetch Kafka {KAFKA_VERSION}; set MAESTRO_KAFKA, or see what it says: {said}"
        )
