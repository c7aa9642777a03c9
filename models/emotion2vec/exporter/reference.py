"""FunASR's own answer, the other side of every comparison."""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Answer:
    """Scores [labels], mean features [D] and features of each frame [T, D] of one recording."""

    scores: np.ndarray
    embedding: np.ndarray
    frames: np.ndarray


class Reference:
    """FunASR's AutoModel on a local checkpoint folder."""

    def __init__(self, folder: Path, threads: int) -> None:
        # FunASR prints notices for every optional package that other models of its would need.
        with contextlib.redirect_stdout(io.StringIO()):
            from funasr import AutoModel

            self._model = AutoModel(
                model=str(folder), device="cpu", ncpu=threads, disable_update=True, disable_pbar=True, log_level="ERROR"
            )

    @property
    def network(self):
        """FunASR's own torch module, with the checkpoint's weights."""
        return self._model.model

    def answer(self, waveform: np.ndarray) -> Answer:
        """Mono samples at 16 kHz, shape [samples]."""
        result = self._generate(waveform, "frame")
        return Answer(np.array(result["scores"]), result["feats"].mean(axis=0), result["feats"])

    def answer_file(self, path: Path) -> Answer:
        """Lets FunASR read the file itself, as its users do."""
        result = self._generate(str(path), "frame")
        return Answer(np.array(result["scores"]), result["feats"].mean(axis=0), result["feats"])

    def score(self, waveform: np.ndarray) -> np.ndarray:
        """Only the scores, by the call that users make; what speed is measured on."""
        return np.array(self._generate(waveform, "utterance")["scores"])

    def _generate(self, source, granularity: str) -> dict:
        with contextlib.redirect_stdout(io.StringIO()):
            (result,) = self._model.generate(source, granularity=granularity, disable_pbar=True)
        return result
