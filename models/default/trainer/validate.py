"""The validation speakers: they choose the epoch and the temperature, and nothing is reported on them as a result."""

import numpy as np
import torch

from .audio import Audio
from .batches import by_length, pad
from .corpus import Clip, indices
from .labels import KNOWN
from .metrics import confusion, unweighted_accuracy
from .student import Student
from .telephone import evaluation_line


def validate(student: Student, clips: list[Clip], audio: Audio, line: bool, stride: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Logits [n, 6] and targets [n] of every `stride`-th clip of the validation speakers of both acted corpora."""
    chosen = indices(clips, "validation")[::stride]
    lengths = np.array([audio.length(i) for i in range(len(clips))])
    logits = np.zeros((len(clips), len(KNOWN)), np.float32)
    student.eval()
    with torch.inference_mode():
        for batch in by_length(chosen, lengths, 24):
            waves = [evaluation_line(audio[i], int(i)) if line else audio[i] for i in batch]
            logits[batch] = student(*pad(waves))[0].numpy()
    return logits[chosen], np.array([clips[i].target for i in chosen])


def validation_accuracy(student: Student, clips: list[Clip], audio: Audio, line: bool) -> float:
    """Unweighted accuracy on a fifth of the validation clips: enough to choose an epoch."""
    logits, targets = validate(student, clips, audio, line, stride=5)
    return unweighted_accuracy(confusion(targets, logits.argmax(1), len(KNOWN)))
