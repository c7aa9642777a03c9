"""What a work folder is made from: the recordings in their order, with all that is known of them, and the worker's
rules of cutting.

Segments name their recording by its number in that order, and all that is kept of them goes by the segment's own
number: read beside another list, they would have other recordings' emotions and speakers.
"""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

from .corpus import Clip
from .files import write
from .segmenter import SETTINGS, served

# What holds such numbers, or follows them. Not audio.npy, which is written anew while segments.npz is missing.
NUMBERED = ("segments.npz", "coded.npy", "judged-*.npz", "scored-*")


def origin(clips: list[Clip]) -> dict:
    """Of recordings and settings as they are now; the same wherever the data lies."""
    paths = [clip.path.absolute() for clip in clips]
    root = os.path.commonpath([path.parent for path in paths])
    found = hashlib.sha256()
    for clip, path in zip(clips, paths, strict=True):
        found.update(repr(vars(clip) | {"path": path.relative_to(root).as_posix()}).encode() + b"\n")
    return {"recordings": {"count": len(clips), "sha256": found.hexdigest()}, "segment": asdict(served())}


def begin(clips: list[Clip], work: Path) -> None:
    """Writes down what a new work folder is made from; ends the program where another has files of another origin."""
    if any(True for pattern in NUMBERED for _ in work.glob(pattern)):
        check(clips, work)
    else:
        text = json.dumps(origin(clips), indent=1) + "\n"
        write(work / "origin.json", lambda file: file.write(text.encode()))


def check(clips: list[Clip], work: Path) -> None:
    """Ends the program where the work folder is made from other recordings or by other settings."""
    path, now = work / "origin.json", origin(clips)
    if not path.exists():
        why = f"{work} does not say which recordings it was made from"
    else:
        then = json.loads(path.read_text())
        if then == now:
            return
        if then["recordings"] != now["recordings"]:
            why = (
                f"{work} was made from other recordings ({then['recordings']['count']} then, "
                f"{now['recordings']['count']} now), another order of them, or other speakers, labels or splits"
            )
        else:
            why = f"{work} was made with other settings: [segment] of {SETTINGS} has changed"
    raise SystemExit(f"{why}. Use another --out (or --work), or go on with the data and the settings of before.")
