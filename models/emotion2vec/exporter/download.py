"""One file by HTTPS: with progress, continued where it was interrupted, and checked before it gets its name."""

import errno
import os
import shutil
import sys
import time
from pathlib import Path

import requests

from .digest import Digest
from .errors import ExportError, HubError

# Seconds to connect, and between two bytes.
TIMEOUT = (15, 60)
# Attempts in a row that bring nothing before the hub counts as unreachable, and the pause after the first, seconds.
ATTEMPTS, PAUSE = 5, 1.0
# Bytes at once. When a connection ends, what has come of the block that was being read is lost.
STEP = 1 << 16
# Statuses after which a later attempt may succeed.
PASSING = {408, 425, 429, 500, 502, 503, 504}


def session() -> requests.Session:
    """With the proxies and certificates of the environment (HTTPS_PROXY, REQUESTS_CA_BUNDLE)."""
    client = requests.Session()
    # Compressed bytes could not be continued by their position.
    client.headers.update({"Accept-Encoding": "identity", "User-Agent": "emofleet-exporter"})
    return client


def fetch(client: requests.Session, url: str, size: int, digest: Digest | None, target: Path) -> None:
    """Brings the file to `target`, unless it is there with this size and digest.

    An interrupted download stays as `NAME.part` and is continued by the next call. Raises `HubError` when the hub does
    not deliver, `ExportError` when the disk refuses.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_file() and _right(target, size, digest):
            return
        for again in (True, False):
            _complete(client, url, size, part)
            if _right(part, size, digest):
                part.replace(target)
                return
            # A part of an older version of the file, most likely: it is loaded once more from its beginning.
            part.unlink()
            if again:
                print(f"{target.name}: the digest is wrong; loading it again", file=sys.stderr)
    except OSError as refusal:
        raise _disk(refusal, target, size - _length(part)) from refusal
    wanted = f"{digest.kind} {digest.hex}" if digest else f"{size} bytes"
    raise HubError(
        f"{url} has twice delivered another file than it announces ({wanted}): a proxy or mirror in between changes "
        "it, or the file is being replaced. Try the other hub, or later."
    )


def _complete(client: requests.Session, url: str, size: int, part: Path) -> None:
    """Appends to `part` until it has `size` bytes."""
    if _length(part) > size:
        part.unlink()
    free = shutil.disk_usage(part.parent).free
    if size - _length(part) > free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    progress, failed = Progress(part.stem, size, _length(part)), 0
    with part.open("ab") as file:
        while (begun := file.tell()) < size:
            try:
                _append(client, url, size, file, progress)
                why = "the connection ended early"
            except requests.RequestException as failure:
                why = f"{type(failure).__name__}: {failure}"
            if file.tell() >= size:
                break
            failed = 1 if file.tell() > begun else failed + 1
            if failed > ATTEMPTS:
                raise HubError(
                    f"{url} stopped at {file.tell():,} of {size:,} bytes ({why}). Run the command again to go on."
                )
            time.sleep(min(30, PAUSE * 2 ** (failed - 1)))
        os.fsync(file.fileno())
    progress.end()


def _append(client: requests.Session, url: str, size: int, file, progress: "Progress") -> None:
    """One request for what is missing."""
    begun = file.tell()
    headers = {"Range": f"bytes={begun}-"} if begun else {}
    with client.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code in PASSING:
            raise requests.HTTPError(f"status {answer.status_code}")
        if answer.status_code == 416 or (
            answer.status_code == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {begun}-")
        ):
            _empty(file)  # the server knows another length: from the beginning
            return
        if not answer.ok:
            raise HubError(f"{url} was answered {answer.status_code} {answer.reason}.")
        if begun and answer.status_code == 200:
            _empty(file)  # a server without ranges sends all of it again
        for block in answer.iter_content(STEP):
            # The digest would be wrong anyway: a server may not fill the disk.
            if file.tell() + len(block) > size:
                raise HubError(f"{url} sends more than the {size:,} bytes that it announces.")
            file.write(block)
            progress.at(file.tell())


def _empty(file) -> None:
    file.seek(0)
    file.truncate()


def _right(path: Path, size: int, digest: Digest | None) -> bool:
    return path.stat().st_size == size and (digest is None or digest.fits(path))


def _length(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _disk(refusal: OSError, target: Path, missing: int) -> ExportError:
    """Of what the operating system refused; `missing` is in bytes."""
    if refusal.errno in (errno.ENOSPC, errno.EDQUOT):
        what = f"the disk of {target.parent} is full: {max(0, missing) / 1e9:.2f} GB more are needed for {target.name}"
        todo = "Make room and run the command again, which goes on where it stopped"
    else:
        what = f"{refusal.filename or target} can't be written: {refusal.strerror or refusal}"
        todo = "Change its permissions"
    return ExportError(
        f"{what}. {todo}; or name another folder (EMOFLEET_STACK_DIR for ./run.sh, --out for export.sh)."
    )


class Progress:
    """Lines on stderr: one that changes on a terminal, else one for each tenth."""

    def __init__(self, name: str, size: int, begun: int) -> None:
        self._name, self._size, self._first, self._shown = name, size, begun, -1
        self._since = self._last = time.monotonic()
        if begun:
            print(f"  {name}: going on at {begun / 1e6:,.1f} MB of {size / 1e6:,.1f} MB", file=sys.stderr)

    def at(self, done: int) -> None:
        now, tenth = time.monotonic(), 10 * done // max(1, self._size)
        if sys.stderr.isatty():
            if now - self._last > 0.5:
                self._last = now
                print(f"\r  {self._line(done)}   ", end="", file=sys.stderr, flush=True)
        elif tenth > self._shown and self._size > 10_000_000:
            self._shown = tenth
            print(f"  {self._line(done)}", file=sys.stderr, flush=True)

    def end(self) -> None:
        if sys.stderr.isatty():
            print(f"\r  {self._line(self._size)}   ", file=sys.stderr)

    def _line(self, done: int) -> str:
        # Continued bytes cost no time.
        rate = (done - self._first) / max(1e-3, time.monotonic() - self._since)
        left = f", {(self._size - done) / rate:,.0f} s left" if 0 < done < self._size and rate > 0 else ""
        return f"{self._name}: {done / 1e6:,.1f} of {self._size / 1e6:,.1f} MB, {rate / 1e6:.1f} MB/s{left}"
