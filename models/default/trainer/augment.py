"""Random changes to training clips that leave the emotion as it is: speed, cut, company, noise, room tone, line, level."""

import numpy as np

from .telephone import CODECS, telephone, transform_size

SHORTEST_CUT = 16000


def augment(wave: np.ndarray, other: np.ndarray, babble: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """`other` is a second clip of the same speaker and emotion, `babble` is unrelated speech; all 16 kHz mono."""
    chance = generator.random
    if chance() < 0.4:
        wave = speed(wave, generator.uniform(0.9, 1.1))
    if chance() < 0.7:
        wave = cut(wave, generator.uniform(0.7, 1.0), generator)
    if chance() < 0.08:
        wave = joined(wave, other, generator)
    if chance() < 0.2:
        wave = tilt(wave, generator.uniform(-6, 6))
    if chance() < 0.35:
        wave = noisy(wave, noise_like(wave, babble, generator), generator.uniform(10, 35))
    if chance() < 0.05:
        wave = np.clip(wave, -1, 1) if chance() < 0.5 else clipped(wave, generator.uniform(0.3, 0.9))
    if chance() < 0.5:
        codec = None if chance() < 0.25 else CODECS[generator.integers(len(CODECS))]
        wave = telephone(wave, generator.uniform(150, 350), generator.uniform(3200, 3800), codec)
    return np.ascontiguousarray(wave, np.float32)


def speed(wave: np.ndarray, factor: float) -> np.ndarray:
    positions = np.arange(0, len(wave) - 1, factor)
    return np.interp(positions, np.arange(len(wave)), wave).astype(np.float32)


def cut(wave: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    keep = max(int(len(wave) * share), min(len(wave), SHORTEST_CUT))
    start = generator.integers(len(wave) - keep + 1)
    return wave[start : start + keep]


def joined(wave: np.ndarray, other: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Two utterances with a pause between, as in a longer turn of a call."""
    floor = 1e-3 * np.sqrt(np.mean(wave**2) + 1e-12)
    pause = floor * generator.standard_normal(int(generator.uniform(0.1, 0.6) * 16000))
    return np.concatenate([wave, pause.astype(np.float32), other])


def tilt(wave: np.ndarray, decibels: float) -> np.ndarray:
    """Lifts or lowers the treble, as microphones and handsets do."""
    size = transform_size(len(wave))
    octaves = np.log2(np.maximum(np.fft.rfftfreq(size, 1 / 16000), 125) / 1000) / 3
    spectrum = np.fft.rfft(wave, size) * 10 ** (decibels * octaves / 20)
    return np.fft.irfft(spectrum, size)[: len(wave)].astype(np.float32)


def noise_like(wave: np.ndarray, babble: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """White, pink, mains hum or other people's speech, as long as `wave`."""
    size = len(wave)
    kind = generator.integers(4)
    if kind == 0:
        return generator.standard_normal(size)
    if kind == 1:
        white = np.fft.rfft(generator.standard_normal(transform_size(size)))
        return np.fft.irfft(white / np.sqrt(np.arange(len(white)) + 10))[:size]
    if kind == 2:
        mains = 2 * np.pi * generator.choice([50, 60]) * np.arange(size, dtype=np.float32) / 16000
        return sum(np.sin(h * mains) / h for h in (1, 3, 5)) + 0.1 * generator.standard_normal(size)
    return np.resize(np.roll(babble, generator.integers(len(babble))), size)


def noisy(wave: np.ndarray, noise: np.ndarray, decibels: float) -> np.ndarray:
    """Speech `decibels` above the noise."""
    ratio = np.sqrt((np.mean(wave**2) + 1e-12) / (np.mean(noise**2) + 1e-12)) * 10 ** (-decibels / 20)
    return (wave + ratio * noise).astype(np.float32)


def clipped(wave: np.ndarray, share: float) -> np.ndarray:
    limit = share * float(np.abs(wave).max())
    return np.clip(wave, -limit, limit)
