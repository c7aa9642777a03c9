"""All clips decoded once into one memory-mapped int16 array, so that training never waits for a decoder."""

import argparse
from pathlib import Path

import numpy as np
import soundfile

from .corpus import Clip, data_dir, read_clips

SAMPLE_RATE = 16000


class Audio:
    """Random access to decoded clips: `audio[i]` is mono float32 in [-1, 1] at 16 kHz."""

    def __init__(self, work: Path):
        self.samples = np.load(work / "audio.npy", mmap_mode="r")
        self.offsets = np.load(work / "offsets.npy")

    def __getitem__(self, index: int) -> np.ndarray:
        start, end = self.offsets[index], self.offsets[index + 1]
        return self.samples[start:end].astype(np.float32) / 32768.0

    def length(self, index: int) -> int:
        return int(self.offsets[index + 1] - self.offsets[index])


def decode(clips: list[Clip], work: Path) -> None:
    if (work / "offsets.npy").exists():
        return
    parts = []
    for number, clip in enumerate(clips):
        samples, rate = soundfile.read(clip.path, dtype="int16", always_2d=True)
        if rate != SAMPLE_RATE:
            raise SystemExit(f"{clip.path}: {rate} Hz where 16000 was expected; convert the corpus first")
        parts.append(samples[:, 0])
        if number % 1000 == 0:
            print(f"decoded {number} of {len(clips)}", flush=True)
    np.save(work / "audio.npy", np.concatenate(parts))
    np.save(work / "offsets.npy", np.cumsum([0] + [len(p) for p in parts]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    decode(read_clips(data_dir(arguments.data)), arguments.work)
