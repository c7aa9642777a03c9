"""A private stack of RabbitMQ, Postgres and S3 on loopback, started by the project's scripts and stopped at the end."""

import os
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# Long enough for a slow machine; the scripts have limits of their own.
LIMIT_S = 300


def shared_runtime() -> Path | None:
    """A folder of runtime files that another stack fetched, to fetch them once; None where there is none.

    The scripts of the private stack write into it. So the folder of a library that the user names is not taken, unless
    a stack made it: it has the stamp of a wheel beside the library.
    """
    named = os.environ.get("EMOFLEET__RUNTIME__ONNXRUNTIME")
    folders = [Path(os.environ.get("EMOFLEET_STACK_DIR") or ROOT / ".stack").absolute() / "runtime"]
    if named and Path(f"{named}.from").is_file():
        folders.insert(0, Path(named).absolute().parent)
    return next((folder for folder in folders if folder.is_dir()), None)


class Stack:
    """Use it in a `with`: `environment` has the addresses as settings of emofleet."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="emofleet-peer-")
        self.environment: dict[str, str] = {}

    def __enter__(self) -> "Stack":
        folder = Path(self._folder.name)
        folder.chmod(0o755)  # Postgres runs as somebody else when this is root
        stack = folder / "stack"
        stack.mkdir()
        runtime = shared_runtime()
        if runtime:
            (stack / "runtime").symlink_to(runtime)
        try:
            self._run("up.sh")
            script = 'set -a; . "$1/env"; env -0'
            printed = subprocess.run(
                ["bash", "-c", script, "bash", stack],
                env={"PATH": "/usr/bin:/bin"},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        except BaseException:
            self._stop()
            raise
        pairs = (line.partition("=") for line in printed.split("\0"))
        self.environment = {name: value for name, _, value in pairs if name.startswith("EMOFLEET__")}
        return self

    def __exit__(self, *_) -> None:
        self._stop()

    def _stop(self) -> None:
        self._run("down.sh")
        self._folder.cleanup()

    def _run(self, script: str) -> None:
        """Raises `RuntimeError` with the script's output."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("EMOFLEET_")}
        environment |= {"EMOFLEET_STACK_DIR": f"{self._folder.name}/stack", "EMOFLEET_SERVICES": "native"}
        ended = subprocess.run(
            [ROOT / "stack" / script],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        if ended.returncode:
            raise RuntimeError(f"stack/{script} failed:\n{ended.stdout}")
