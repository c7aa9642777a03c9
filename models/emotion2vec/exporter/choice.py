"""Which of the exported models this machine should run: fp32, or int8 where that is faster and says the same."""

from dataclasses import dataclass

import numpy as np

from .comparison import Contestant
from .speech import SAMPLE_RATE, Recording

# With less speech than this, or when nearly all of it is one emotion, agreement says little.
LEAST_SEGMENTS, LEAST_SECONDS, LEAST_EMOTIONS = 20, 60.0, 3
# int8 must agree with fp32 this often on the first emotion, and leave all nine scores of nearly all segments (SHARE)
# within CHANGE: alerts compare scores with thresholds that are given to a twentieth.
LEAST_AGREEMENT, SHARE, CHANGE = 0.98, 0.95, 0.05
# Below this gain in speed, exact scores are worth more.
LEAST_GAIN = 1.3
# Segments that are compared, and their longest, seconds: as long as the worker cuts them.
MOST_SEGMENTS, LONGEST = 40, 10.0


@dataclass(frozen=True)
class Choice:
    """`fp32` or `int8`, and why, in one sentence."""

    precision: str
    why: str


def segments(recordings: list[Recording]) -> list[Recording]:
    """The recordings, cut into pieces as long as the worker's segments; at most MOST_SEGMENTS, spread evenly."""
    length = round(LONGEST * SAMPLE_RATE)
    pieces = [
        Recording(recording.path, piece)
        for recording in recordings
        for piece in np.array_split(recording.waveform, -(-len(recording.waveform) // length) or 1)
        if len(piece) >= SAMPLE_RATE // 2
    ]
    kept = np.unique(np.linspace(0, len(pieces) - 1, min(MOST_SEGMENTS, len(pieces))).round().astype(int))
    return [pieces[index] for index in kept]


def choose(fp32: Contestant, int8: Contestant, speech: list[Recording]) -> Choice:
    """By scores and times on the same segments."""
    seconds = sum(len(segment.waveform) for segment in speech) / SAMPLE_RATE
    exact, quantised = np.array(fp32.scores), np.array(int8.scores)
    gain = float(np.median(np.array(fp32.processor) / np.array(int8.processor)))
    agreement = float((exact.argmax(axis=1) == quantised.argmax(axis=1)).mean())
    change = float(np.quantile(np.abs(exact - quantised).max(axis=1), SHARE))
    measured = (
        f"on {len(speech)} segments ({seconds:.0f} s) int8 takes {1 / gain:.2f} of fp32's processor time, gives the "
        f"same first emotion in {agreement:.0%}, and changes no score of {SHARE:.0%} of them by more than {change:.3f}"
    )
    if len(speech) < LEAST_SEGMENTS or seconds < LEAST_SECONDS:
        return Choice(
            "fp32",
            f"{measured}; that is too little speech to trust int8 on (at least {LEAST_SEGMENTS} segments and "
            f"{LEAST_SECONDS:.0f} s: give recordings of yours with --speech FOLDER)",
        )
    emotions = len(set(exact.argmax(axis=1).tolist()))
    if emotions < LEAST_EMOTIONS:
        return Choice(
            "fp32",
            f"{measured}; but fp32 predicts only {emotions} of the nine emotions for them, so agreement says little "
            f"(at least {LEAST_EMOTIONS}: give more varied recordings with --speech FOLDER)",
        )
    doubts = []
    if agreement < LEAST_AGREEMENT:
        doubts.append(f"at least {LEAST_AGREEMENT:.0%} of the first emotions must be the same")
    if change > CHANGE:
        doubts.append(f"no score may change by more than {CHANGE}")
    if gain < LEAST_GAIN:
        doubts.append(f"fp32 must take at least {LEAST_GAIN} times as long")
    if doubts:
        return Choice("fp32", f"{measured}; for int8, {', and '.join(doubts)}")
    return Choice("int8", measured)
