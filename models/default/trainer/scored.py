"""Scores of a packed model, on segments as the worker serves them, by condition."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from .audio import SAMPLE_RATE, Audio
from .conditions import CONDITIONS
from .corpus import Clip
from .files import digest, write
from .labels import KNOWN, LABELS
from .metrics import softmax
from .scorer import Scorer
from .segmenter import RATE, served

NINE = np.array([LABELS.index(name) for name in KNOWN])
# Seconds of sound kept round speech, beside what the worker keeps.
SERVED_MARGIN = f"margin {served().padding / RATE}"
MARGINS = {name: s for s in (0.0, 0.1, 0.2, 0.3) for name in [f"margin {s}"] if name != SERVED_MARGIN}


class Scored:
    """Segments [n] of a role's speakers and the nine scores of each by condition, kept under `work`.

    They are kept by the content of the model's file: two models may lie in folders of one name, and a model that is
    copied may be older than the scores of the one that it replaces.
    `target` [n] is an index into LABELS, -1 for ordinary speech.
    """

    def __init__(self, clips: list[Clip], audio: Audio, model: Path, work: Path, role: str = "test"):
        self.audio, self.scorer = audio, Scorer(model)
        self.cache = work / f"scored-{role}-{digest(model)[:12]}"
        self.cache.mkdir(exist_ok=True)
        wanted = [
            n
            for n, clip in enumerate(audio.clip)
            if clips[clip].role == role and (clips[clip].ordinary or clips[clip].target >= 0)
        ]
        self.number = np.array(wanted)
        known = [clips[n] for n in audio.clip[self.number]]
        self.clip, self.corpus = audio.clip[self.number], np.array([c.corpus for c in known])
        self.speaker = np.array([c.speaker for c in known])
        self.target = np.array([NINE[c.target] if c.target >= 0 else -1 for c in known])
        self.ordinary = np.array([c.ordinary for c in known])
        self.seconds = np.diff(audio.served[self.number], axis=1)[:, 0] / SAMPLE_RATE

    def wave(self, number: int, condition: str) -> np.ndarray:
        if condition in MARGINS:
            return self.audio.wave(number, MARGINS[condition])
        return CONDITIONS[condition](self.audio.wave(number), number)

    def scores(self, condition: str, threads: int = 2) -> np.ndarray:
        """[n, 9]"""
        path = self.cache / f"{condition.replace(' ', '-')}.npy"
        if not path.exists():
            with ThreadPoolExecutor(threads) as pool:
                logits = list(
                    pool.map(lambda n: self.scorer.logits([self.wave(int(n), condition)])[0], self.number.tolist())
                )
            found = softmax(np.array(logits, np.float64))
            write(path, lambda file: np.save(file, found))
            print(f"{path.parent.name} {condition}: {len(logits)} segments", flush=True)
        return np.load(path)
