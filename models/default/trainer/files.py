"""Files that are there whole or not at all: a stage that was killed is done again, one that ended is not."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """`fill` gets a file beside `path`, which then takes its name."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        fill(file)
    partial.replace(path)


def made_after(path: Path, *sources: Path) -> bool:
    """Whether `path` exists and is younger than all that it is made from."""
    return path.exists() and all(path.stat().st_mtime_ns >= source.stat().st_mtime_ns for source in sources)


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
