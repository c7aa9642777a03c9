"""The conditions that figures are given under: fixed changes to one wave [samples], 16 kHz float32, seeded by its
number."""

import numpy as np

from .telephone import evaluation_line

RATE = 16000
STEP = 16


def silence(wave: np.ndarray, number: int) -> np.ndarray:
    """A second of faint noise (-75 dB) before and after, as an unmuted line has."""
    generator = np.random.default_rng(number)
    before, after = (1.8e-4 * generator.standard_normal(RATE) for _ in range(2))
    return np.concatenate([before, wave, after]).astype(np.float32)


def follower(wave: np.ndarray, attack_s: float, release_s: float) -> np.ndarray:
    """Level in dB of each millisecond [ceil(samples / 16)], rising and falling with two time constants."""
    padded = np.pad(wave, (0, -len(wave) % STEP))
    size = np.abs(padded).reshape(-1, STEP).max(1)
    rise, fall = (1 - np.exp(-0.001 / seconds) for seconds in (attack_s, release_s))
    level, out = 0.0, np.empty(len(size))
    for n, value in enumerate(size.tolist()):
        level += (rise if value > level else fall) * (value - level)
        out[n] = level
    return 20 * np.log10(out + 1e-6)


def with_gain(wave: np.ndarray, decibels: np.ndarray) -> np.ndarray:
    """The wave at a gain given by milliseconds; the same root mean square afterwards."""
    places = np.arange(len(wave)) / STEP
    out = wave * 10 ** (np.interp(places, np.arange(len(decibels)) + 0.5, decibels) / 20)
    return (out * np.sqrt((np.mean(wave**2) + 1e-12) / (np.mean(out**2) + 1e-12))).astype(np.float32)


def compressor(wave: np.ndarray, number: int) -> np.ndarray:
    """10:1 above 25 dB below the loudest; attack 5 ms, release 80 ms."""
    level = follower(wave, 0.005, 0.08)
    return with_gain(wave, -0.9 * np.maximum(0, level - (level.max() - 25)))


def gate(wave: np.ndarray, number: int) -> np.ndarray:
    """40 dB down where the level is 25 dB below the loudest; attack 2 ms, release 60 ms."""
    level = follower(wave, 0.002, 0.06)
    return with_gain(wave, np.clip(4 * (level - (level.max() - 25)), -40, 0))


def presence(wave: np.ndarray, number: int) -> np.ndarray:
    """10 dB more round 2 kHz."""
    hertz = np.fft.rfftfreq(len(wave), 1 / RATE)
    octaves = np.log2(np.maximum(hertz, 1) / 2000)
    return np.fft.irfft(np.fft.rfft(wave) * 10 ** (0.5 * np.exp(-2 * octaves**2)), len(wave)).astype(np.float32)


def clean(wave: np.ndarray, number: int) -> np.ndarray:
    return wave


CONDITIONS = {
    "clean": clean,
    "line": evaluation_line,
    "compressor": compressor,
    "gate": gate,
    "presence": presence,
    "silence": silence,
}
