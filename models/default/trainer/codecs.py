"""A second copy of all segments through real codecs: GSM, ADPCM, G.711 and Opus, narrow and wide, at low rates."""

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from .audio import Audio
from .files import write
from .telephone import LINE_RATE, SUBTYPES, band_pass_halved, doubled, through

WIDE_SHARE = 0.3


def coded(wave: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """int16 samples at 16 kHz, decoded again at the same length: wide-band Opus, or a narrow line with some codec."""
    peak = max(1.0, float(np.abs(wave.astype(np.float32)).max(initial=0.0)))
    level = generator.uniform(0.2, 0.95)
    speech = wave.astype(np.float32) * (level / peak)
    if generator.random() < WIDE_SHARE:
        out = through(speech, "opus", 16000, int(generator.uniform(9_000, 20_000)))
    else:
        narrow = band_pass_halved(speech, generator.uniform(50, 350), generator.uniform(3300, 3900))
        codec = generator.choice(list(SUBTYPES), p=(0.15, 0.15, 0.3, 0.1, 0.3))
        out = doubled(through(narrow, codec, LINE_RATE, int(generator.uniform(6_500, 12_000))))
    out = np.pad(out, (0, max(0, len(wave) - len(out))))[: len(wave)]
    return np.clip(np.round(out * (peak / level)), -32768, 32767).astype(np.int16)


def code_all(work: Path, seed: int, threads: int) -> None:
    """Writes coded.npy beside audio.npy, sample for sample in the same place."""
    if (work / "coded.npy").exists():
        return
    audio = Audio(work)
    out = np.zeros_like(audio.samples)

    def one(number: int) -> None:
        place = slice(audio.offset[number], audio.offset[number] + audio.length[number])
        out[place] = coded(audio.samples[place], np.random.default_rng([seed, number]))

    with ThreadPoolExecutor(threads) as pool:
        for number, _ in enumerate(pool.map(one, range(len(audio)))):
            if number % 2000 == 0:
                print(f"coded {number} of {len(audio)} segments", flush=True)
    write(work / "coded.npy", lambda file: np.save(file, out))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    arguments, _ = parser.parse_known_args()
    code_all(arguments.work, 11, arguments.threads)
