"""From probabilities of speech to segments, exactly as the worker cuts (crates/speech/src/audio/vad/segmenter.rs)."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from .voice_activity import CHUNK, THRESHOLD

RATE = 16000
HYSTERESIS = 0.15
CUT_WINDOW = (0.6, 0.95)
QUIET = 640


SETTINGS = Path(__file__).resolve().parents[3] / "config" / "default.toml"


@dataclass(frozen=True)
class Rules:
    """The worker's settings of `[segment]`, in samples at 16 kHz; `pause` is not a setting there."""

    silence: int
    speech: int
    padding: int
    least: int
    most: int
    limit: int
    pause: int = 16000


@cache
def served() -> Rules:
    """As the worker cuts by default: read from config/default.toml, so that figures are of what is served."""
    names = ("min_silence_s", "min_speech_s", "padding_s", "target_min_s", "target_max_s", "hard_max_s")
    with SETTINGS.open("rb") as file:
        settings = tomllib.load(file)["segment"]
    return Rules(*(round(settings[name] * RATE) for name in names))


@dataclass(frozen=True)
class Segment:
    """Samples [start, end) as served, margins included; speech itself lies in [speech_start, speech_end)."""

    start: int
    end: int
    speech_start: int
    speech_end: int


class Segmenter:
    """Cuts one track that is wholly in memory."""

    def __init__(self, wave: np.ndarray, rules: Rules):
        self.wave, self.rules = wave, rules
        self.position = 0
        self.stretches: list[tuple[int, int]] = []
        self.current: tuple[int, int | None] | None = None
        self.floor = 0
        self.faint: Segment | None = None
        self.out: list[Segment] = []

    def push(self, probability: float, count: int) -> None:
        start = self.position
        self.position += count
        if probability >= THRESHOLD:
            self.current = (self.current[0] if self.current else start, None)
        elif self.current and probability < THRESHOLD - HYSTERESIS:
            begin, dip = self.current
            dip = start if dip is None else dip
            self.current = (begin, dip)
            if self.position - dip >= self.rules.silence:
                self.close(dip)
        self.settle(count)

    def finish(self) -> list[Segment]:
        if self.current:
            _, dip = self.current
            self.close(self.position if dip is None else dip)
        if self.stretches:
            self.emit(len(self.stretches) - 1)
        elif not self.out and self.position <= self.rules.most and self.faint:
            self.out.append(self.faint)
        return self.out

    def close(self, end: int) -> None:
        start, self.current = self.current[0], None
        continues = bool(self.out) and start == self.floor
        if end - start >= self.rules.speech or (continues and end > start):
            self.stretches.append((start, end))
        elif not self.out and end - start > (self.faint.end - self.faint.start if self.faint else 0):
            to = min(end + self.rules.padding, self.position)
            self.faint = Segment(self.padded(start), to, start, end)

    def settle(self, step: int) -> None:
        while (begin := self.begin()) is not None:
            end = self.position if self.current or not self.stretches else self.stretches[-1][1]
            full = self.position - self.padded(begin) + step > self.rules.limit
            if end - begin > self.rules.most:
                pause = self.longest_pause(begin, self.rules.least, self.rules.most)
                if pause is not None:
                    self.emit(pause)
                    continue
            pause = self.longest_pause(begin, 0, 2**62) if full else None
            if pause is not None:
                self.emit(pause)
            elif full and self.current:
                self.split(begin)
            elif not self.current and (end - begin > self.rules.most or self.position - end >= self.rules.pause):
                self.emit(len(self.stretches) - 1)
            else:
                return

    def begin(self) -> int | None:
        if self.stretches:
            return self.stretches[0][0]
        return self.current[0] if self.current else None

    def longest_pause(self, begin: int, shortest: int, longest: int) -> int | None:
        """The stretch before the longest pause of those that leave a segment of an allowed length; the last of
        equals."""
        best, found = -1, None
        for n, (_, end) in enumerate(self.stretches):
            after = self.next_start(n)
            if after is not None and shortest <= end - begin <= longest and after - end >= best:
                best, found = after - end, n
        return found

    def next_start(self, stretch: int) -> int | None:
        if stretch + 1 < len(self.stretches):
            return self.stretches[stretch + 1][0]
        return self.current[0] if self.current else None

    def emit(self, last: int) -> None:
        begin, end = self.stretches[0][0], self.stretches[last][1]
        start, after = self.padded(begin), self.next_start(last)
        between = 2**62 if after is None else end + (after - end) // 2
        to = min(end + self.rules.padding, self.position, between, start + self.rules.limit)
        del self.stretches[: last + 1]
        self.give(Segment(start, to, max(begin, start), min(end, to)))

    def split(self, begin: int) -> None:
        """Cuts a stretch that has no pause where it is quietest."""
        start = self.padded(begin)
        low, high = (start + int(self.rules.limit * share) for share in CUT_WINDOW)
        window = self.wave[low : min(high, self.position)] ** 2
        sums = np.concatenate([[0.0], np.cumsum(window, dtype=np.float64)])
        loudness = (sums[QUIET:] - sums[:-QUIET])[:: QUIET // 4]
        quietest = int(np.argmin(loudness)) * (QUIET // 4) + QUIET // 2 if len(loudness) else 0
        to = low + quietest
        dip = self.current[1]
        self.current = (to, dip if dip is not None and dip > to else None)
        self.give(Segment(start, to, max(begin, start), to))

    def give(self, segment: Segment) -> None:
        self.out.append(segment)
        self.floor = segment.end
        self.faint = None

    def padded(self, start: int) -> int:
        return max(start - self.rules.padding, 0, self.floor)


def segments(wave: np.ndarray, probabilities: np.ndarray, rules: Rules | None = None) -> list[Segment]:
    """The segments of a 16 kHz wave, as served by default, given the probability of speech in each 32 ms chunk."""
    segmenter = Segmenter(wave, rules or served())
    for number, probability in enumerate(probabilities):
        segmenter.push(float(probability), min(CHUNK, len(wave) - number * CHUNK))
    return segmenter.finish()
