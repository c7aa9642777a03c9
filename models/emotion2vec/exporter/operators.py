"""The worker's own operators as a library, for measurements: ONNX Runtime alone can't run a graph that names them."""

import os
import shutil
import subprocess
from pathlib import Path

from .errors import ExportError

ROOT = Path(__file__).resolve().parents[3]
COMMAND = (
    *("cargo", "rustc", "--release", "--package", "emofleet-speech", "--lib"),
    *("--features", "operators-library", "--crate-type", "cdylib"),
)


def library() -> Path:
    """EMOFLEET_OPERATORS, or what Cargo builds from the worker's own source. Raises `ExportError`."""
    if named := os.environ.get("EMOFLEET_OPERATORS"):
        if not Path(named).is_file():
            raise ExportError(f"EMOFLEET_OPERATORS names {named}, which does not exist: unset it to have it built.")
        return Path(named)
    if not shutil.which("cargo"):
        raise ExportError(
            "this is measured with the worker's own operators, and there is no cargo here to build them. Install Rust, "
            f"or build them on another machine ({' '.join(COMMAND)}) and name the library in EMOFLEET_OPERATORS."
        )
    # Named on the command line, which wins over Cargo's own configuration. A relative folder is below the checkout.
    target = ROOT / (os.environ.get("CARGO_TARGET_DIR") or "target")
    command = (*COMMAND, "--target-dir", str(target))
    print("building the worker's operators for the measurement: minutes, the first time")
    if subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode:
        raise ExportError(f"the worker's operators can't be built: see above. The command is {' '.join(command)}")
    return target / "release" / "libspeech.so"
