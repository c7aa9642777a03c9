"""Recordings to compare models on: files the user gives, and synthetic voices when there are none."""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from .errors import ExportError

SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class Recording:
    """A file, and its samples as FunASR reads them: mono at 16 kHz, f32 [samples]."""

    path: Path
    waveform: np.ndarray


def read(path: Path) -> Recording:
    """Reads with FunASR's own loader, so that both sides of a comparison get the same samples. Raises `ExportError`."""
    # It prints notices about packages that other models would need.
    with contextlib.redirect_stdout(io.StringIO()):
        from funasr.utils.load_utils import load_audio_text_image_video

        try:
            samples = load_audio_text_image_video(str(path), fs=SAMPLE_RATE)
        except Exception as failure:  # of any of FunASR's readers
            raise ExportError(
                f"{path} can't be read as audio ({type(failure).__name__}): leave it out, or convert it to WAV."
            ) from failure
    return Recording(path, np.asarray(samples, dtype=np.float32))


def synthesise(folder: Path, seconds: list[float], seed: int = 7) -> list[Path]:
    """Writes voice-like 16-bit wave files: gliding harmonics in syllables, breath noise, pauses."""
    source = np.random.default_rng(seed)
    paths = []
    for index, length in enumerate(seconds):
        time = np.arange(round(length * SAMPLE_RATE)) / SAMPLE_RATE
        pitch = source.uniform(90, 260) * (
            1 + 0.2 * np.sin(2 * np.pi * source.uniform(0.3, 1.5) * time + source.uniform(0, 6))
        )
        phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
        voice = sum(
            np.sin(order * phase + source.uniform(0, 6)) / order ** source.uniform(0.7, 1.6) for order in range(1, 16)
        )
        syllables = np.clip(np.sin(2 * np.pi * source.uniform(2, 5) * time + source.uniform(0, 6)) + 0.3, 0, None)
        signal = 0.12 * voice * syllables + source.normal(0, source.uniform(0.002, 0.02), len(time))
        path = folder / f"voice{index}.wav"
        soundfile.write(path, np.clip(signal, -1, 1), SAMPLE_RATE, subtype="PCM_16")
        paths.append(path)
    return paths
