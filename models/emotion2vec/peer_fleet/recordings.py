"""The recordings that both fleets score: speech of 3 to 9 s, as WAV of 16 bits at 16 kHz."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
from exporter.comparison import AUDIO_SUFFIXES

RATE = 16_000
SHORTEST_S, LONGEST_S = 3.0, 9.0
SENTENCES = [
    "I have been waiting for forty minutes, and nobody has answered my question.",
    "This is the third time that I call you about the same bill.",
    "Thank you very much, that is exactly what I wanted to hear.",
    "Please tell me when the technician comes, I can be at home all day.",
]


def write_recordings(folder: Path, data: Path | None, count: int, seed: int = 15) -> list[float]:
    """Writes `count` files into `folder`; their lengths in seconds.

    Speech is cut out of the files below `data` (16 kHz, mono), joined, or out of sentences of espeak-ng.
    """
    folder.mkdir(parents=True)
    chosen = random.Random(seed)
    lengths = [round(SHORTEST_S + (LONGEST_S - SHORTEST_S) * index / max(1, count - 1), 1) for index in range(count)]
    chosen.shuffle(lengths)
    speech = _joined(data, sum(lengths), chosen) if data else _spoken(folder)
    at = 0
    for index, seconds in enumerate(lengths):
        piece = np.take(speech, range(at, at + round(seconds * RATE)), mode="wrap")
        soundfile.write(folder / f"{index:04}.wav", piece, RATE, subtype="PCM_16")
        at += len(piece)
    return lengths


def _joined(data: Path, seconds: float, chosen: random.Random) -> np.ndarray:
    files = sorted(path for path in data.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    chosen.shuffle(files)
    pieces, have = [], 0
    for path in files:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        if rate == RATE and samples.shape[1] == 1:
            pieces.append(samples[:, 0])
            have += len(samples)
        if have >= seconds * RATE:
            break
    if not pieces:
        sys.exit(f"no mono recordings at 16 kHz below {data}: name another folder with --data, or none")
    return np.concatenate(pieces)


def _spoken(folder: Path) -> np.ndarray:
    target = folder.with_name("sentence.wav")
    pieces = []
    for number, sentence in enumerate(SENTENCES):
        try:
            subprocess.run(["espeak-ng", "-v", "en", "-p", str(20 * number), "-w", target, sentence], check=True)
        except FileNotFoundError:
            sys.exit("espeak-ng is missing: install it, or name a folder of speech with --data")
        samples, rate = soundfile.read(target, dtype="float32")
        import soxr

        pieces.append(soxr.resample(samples, rate, RATE))
    return np.concatenate(pieces)
