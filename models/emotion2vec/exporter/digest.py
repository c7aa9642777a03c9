"""Digests of files, as the hubs state them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

BLOCK = 1 << 20


@dataclass(frozen=True)
class Digest:
    """`sha256` of the bytes, or `git`: SHA-1 of git's blob, which Hugging Face states for small files. In hex."""

    kind: str
    hex: str

    def fits(self, path: Path) -> bool:
        """Whether the file has this digest."""
        return of(path, self.kind) == self.hex.lower()


def of(path: Path, kind: str = "sha256") -> str:
    """Digest of a file, in hex."""
    state = hashlib.sha256() if kind == "sha256" else hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            state.update(block)
    return state.hexdigest()
