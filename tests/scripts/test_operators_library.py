"""The exporter looks for the library of the worker's operators where Cargo was told to build it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXPORTER = Path(__file__).resolve().parents[2] / "models" / "emotion2vec"
CARGO = """#!/bin/bash
while (($#)) && [[ "$1" != --target-dir ]]; do shift; done
mkdir -p "$2/release" && touch "$2/release/libspeech.so"
"""


@pytest.mark.parametrize(("named", "folder"), [("", "checkout/target"), ("built", "checkout/built"), ("/away", "away")])
def test_the_library_is_the_one_that_was_built(tmp_path, named, folder):
    for name in ("checkout", "bin"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin" / "cargo").write_text(CARGO)
    (tmp_path / "bin" / "cargo").chmod(0o755)
    named = f"{tmp_path}{named}" if named.startswith("/") else named
    script = (
        "import pathlib, sys; from exporter import operators as o; "
        "o.ROOT = pathlib.Path(sys.argv[1]); print(o.library())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "EMOFLEET_OPERATORS"}
    environment |= {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(EXPORTER),
        "CARGO_TARGET_DIR": named,
        "CARGO_BUILD_TARGET_DIR": str(tmp_path / "wrong"),
    }
    command = [sys.executable, "-c", script, tmp_path / "checkout"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    library = Path(done.stdout.splitlines()[-1])
    assert library == tmp_path / folder / "release" / "libspeech.so" and library.is_file()
