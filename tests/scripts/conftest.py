"""A checkout of the scripts alone, in a folder of its own. No service is started."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# A shell starts jobs in the background with this signal ignored, and what is ignored, what they start can't catch.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Checkout:
    """Runs scripts of a copy of this repository, without the settings of the tests' own stack."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.stack = root / ".stack"
        shutil.copytree(ROOT / "stack", root / "stack")
        shutil.copy(ROOT / "run.sh", root)

    def run(
        self, *command: str | Path, cwd: Path | None = None, **variables: str | Path
    ) -> subprocess.CompletedProcess:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("EMOFLEET_", "CARGO_"))
        }
        environment |= {name: str(value) for name, value in variables.items()}
        return subprocess.run(
            command,
            cwd=cwd or self.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def bash(self, script: str, *, cwd: Path | None = None, **variables: str | Path) -> str:
        """What lines of bash print after `stack/lib.sh` was sourced."""
        sourced = f'. "$CHECKOUT/stack/lib.sh"\n{script}'
        done = self.run("bash", "-c", sourced, cwd=cwd, CHECKOUT=self.root, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")
