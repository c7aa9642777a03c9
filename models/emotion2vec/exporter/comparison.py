"""Speed and agreement of several models on the same recordings, measured in one run, as one table."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .errors import ExportError
from .speech import SAMPLE_RATE, Recording, read

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".opus"}


@dataclass
class Contestant:
    """A model under comparison, its scores [recordings, 9], and its times in seconds per second of audio."""

    name: str
    score: Callable[[np.ndarray], np.ndarray]
    scores: list[np.ndarray] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def hear(self, waveform: np.ndarray) -> None:
        wall, processor = time.perf_counter(), time.process_time()
        self.scores.append(self.score(waveform))
        seconds = len(waveform) / SAMPLE_RATE
        self.wall.append((time.perf_counter() - wall) / seconds)
        self.processor.append((time.process_time() - processor) / seconds)


def run(contestants: list[Contestant], recordings: list[Recording]) -> str:
    """All contestants take turns on every recording, so that load on the machine affects all of them alike.

    The others are compared with the first.
    """
    for contestant in contestants:
        contestant.score(recordings[0].waveform)  # the first call allocates
    for recording in recordings:
        for contestant in contestants:
            contestant.hear(recording.waveform)
    return _table(contestants, recordings)


def real_speech(given: list[Path], data: Path | None, count: int = 60) -> list[Recording]:
    """The files given, or `count` files spread evenly over the folder `data` (EMOFLEET_DATA)."""
    if not given and data and data.is_dir():
        files = sorted(
            path
            for path in (data / "speech" if (data / "speech").is_dir() else data).rglob("*")
            if path.suffix.lower() in AUDIO_SUFFIXES
        )
        given = files[:: max(1, len(files) // count)][:count]
    if not given:
        raise ExportError(
            "agreement needs real speech: give recordings with --check-audio, or a folder of them in EMOFLEET_DATA."
        )
    return [read(path) for path in given]


def _table(contestants: list[Contestant], recordings: list[Recording]) -> str:
    first = contestants[0]
    seconds = sum(len(recording.waveform) for recording in recordings) / SAMPLE_RATE
    lines = [
        f"{len(recordings)} recordings, {seconds:.0f} s; agreement and speed against {first.name}.",
        "",
        "| model | wall, ms per s | processor, ms per s | faster | same first emotion | largest difference of a score "
        "| mean difference |",
        "|---|---|---|---|---|---|---|",
    ]
    expected = np.array(first.scores)
    for contestant in contestants:
        scores = np.array(contestant.scores)
        ratio = np.median(np.array(first.processor) / np.array(contestant.processor))
        same = (scores.argmax(axis=1) == expected.argmax(axis=1)).mean()
        gap = np.abs(scores - expected)
        lines.append(
            f"| {contestant.name} | {1e3 * np.median(contestant.wall):.0f} "
            f"| {1e3 * np.median(contestant.processor):.0f} | {ratio:.2f} x | {same:.1%} "
            f"| {gap.max():.1e} | {gap.mean():.1e} |"
        )
    shares = np.bincount(expected.argmax(axis=1), minlength=expected.shape[1])
    lines += ["", f"First emotions by {first.name}, in the order of the labels: {', '.join(map(str, shares))}."]
    return "\n".join(lines)
