"""All recordings decoded once, cut as the worker cuts them, into one memory-mapped int16 array.

Beside it lies the same speech through real codecs (telephone and internet calls), so that training never waits for one.
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile

from .corpus import Clip, data_dir, read_clips
from .files import write
from .origin import begin, check
from .segmenter import segments
from .telephone import LINE_RATE, doubled
from .voice_activity import Silero, probabilities

SAMPLE_RATE = 16000
# Sound kept on either side of a segment's speech for margins of any length, samples: as far as no other segment begins.
CONTEXT = 8000
GROUP = 256


class Audio:
    """Segments of all clips, each with some of the sound around it.

    `clip` [n] is the clip's number; `offset` [n] where its sound begins in `samples` (int16); `length` [n] how long
    that is;
    `speech` [n, 2] and `served` [n, 2]: first and last sample of the speech, and of what the worker would serve, in
    that sound.
    """

    def __init__(self, work: Path):
        self.samples = np.load(work / "audio.npy", mmap_mode="r")
        table = np.load(work / "segments.npz")
        self.clip, self.offset, self.length = table["clip"], table["offset"], table["length"]
        self.speech, self.served = table["speech"], table["served"]

    @classmethod
    def of(cls, clips: list[Clip], work: Path) -> "Audio":
        """Where `clip` is to be a number among these: ends the program if they are not those that were cut."""
        check(clips, work)
        return cls(work)

    def __len__(self) -> int:
        return len(self.clip)

    def wave(self, number: int, margin: float | None = None) -> np.ndarray:
        """A segment as served, or with so many seconds round its speech where there are: float32 in [-1, 1]."""
        first, last = self.served[number]
        if margin is not None:
            begin, end = self.speech[number]
            first, last = (
                max(0, begin - int(margin * SAMPLE_RATE)),
                min(self.length[number], end + int(margin * SAMPLE_RATE)),
            )
        start, end = self.offset[number] + np.array([first, last])
        return self.samples[start:end].astype(np.float32) / 32768.0


def decode(clip: Clip) -> np.ndarray:
    """int16 samples at 16 kHz of the clip's channel."""
    samples, rate = soundfile.read(clip.path, dtype="float32", always_2d=True)
    wave = samples[:, clip.channel]
    if rate == LINE_RATE:
        wave = doubled(wave)
    elif rate != SAMPLE_RATE:
        raise SystemExit(f"{clip.path}: {rate} Hz where 16000 was expected; convert the corpus first")
    return np.clip(np.round(wave * 32768.0), -32768, 32767).astype(np.int16)


def cut(clips: list[Clip], work: Path) -> None:
    """Writes audio.npy and segments.npz."""
    begin(clips, work)
    if (work / "segments.npz").exists():
        return
    silero, parts, rows, position = Silero(), [], [], 0
    for start in range(0, len(clips), GROUP):
        waves = [decode(clip) for clip in clips[start : start + GROUP]]
        floats = [wave.astype(np.float32) / 32768.0 for wave in waves]
        for number, judged in enumerate(probabilities(silero, floats)):
            found = segments(floats[number], judged)
            for i, piece in enumerate(found):
                first = max(piece.start - CONTEXT, found[i - 1].end if i else 0)
                last = min(piece.end + CONTEXT, found[i + 1].start if i + 1 < len(found) else len(waves[number]))
                places = np.array([piece.speech_start, piece.speech_end, piece.start, piece.end]) - first
                rows.append((start + number, position, last - first, *places))
                parts.append(waves[number][first:last])
                position += last - first
        print(f"cut {min(start + GROUP, len(clips))} of {len(clips)} recordings", flush=True)
    write(work / "audio.npy", lambda file: np.save(file, np.concatenate(parts)))
    columns = np.split(np.array(rows, np.int64), [1, 2, 3, 5], axis=1)
    arrays = dict(zip(("clip", "offset", "length"), (column[:, 0] for column in columns), strict=False))
    arrays |= {"speech": columns[3], "served": columns[4]}
    write(work / "segments.npz", lambda file: np.savez(file, **arrays))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    cut(read_clips(data_dir(arguments.data)), arguments.work)
