"""What judge.py wrote, joined with what is known of the segments."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .audio import SAMPLE_RATE, Audio
from .corpus import Clip


@dataclass(frozen=True)
class Judged:
    """Segments [n] with their clip, corpus, speaker, role, target (-1: none) and seconds, and what a network said of
    them.

    `logits` [n, 7] by condition, `embeddings` [n, 256] of the clean sound, `trained` [m, 256] of training segments.
    """

    number: np.ndarray
    clip: np.ndarray
    corpus: np.ndarray
    speaker: np.ndarray
    role: np.ndarray
    target: np.ndarray
    ordinary: np.ndarray
    seconds: np.ndarray
    logits: dict[str, np.ndarray]
    embeddings: np.ndarray
    trained: np.ndarray

    @classmethod
    def read(cls, path: Path, clips: list[Clip], audio: Audio) -> "Judged":
        saved = np.load(path)
        number = saved["number"]
        known = [clips[n] for n in audio.clip[number]]
        return cls(
            number=number,
            clip=audio.clip[number],
            corpus=np.array([c.corpus for c in known]),
            speaker=np.array([c.speaker for c in known]),
            role=np.array([c.role for c in known]),
            target=np.array([c.target for c in known]),
            ordinary=np.array([c.ordinary for c in known]),
            seconds=np.diff(audio.served[number], axis=1)[:, 0] / SAMPLE_RATE,
            logits={name.removesuffix(".logits"): saved[name] for name in saved.files if name.endswith(".logits")},
            embeddings=saved["embeddings"],
            trained=saved["train.embeddings"],
        )
