"""The student under the model contract: nine labels, calibrated logits, and `unknown` by the distance to the
training speech."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .frontend import valid_mask
from .labels import ABSENT_LOGIT, KNOWN_INDEX, LABELS
from .student import EMBEDDING, Student

UNKNOWN = LABELS.index("unknown")


@dataclass(frozen=True)
class Calibration:
    """What turns the student's scores into calibrated ones.

    `temperature` divides the logits; `bias` [7] is added to them then. The distance to the training speech is the
    root mean
    square of `directions` [EMBEDDING, k] @ (embedding - `centre`), each direction of variance 1 there;
    the odds of `unknown` are exp(slope * (distance - middle)). Embeddings leave multiplied by `scale`.
    """

    temperature: float
    bias: np.ndarray
    centre: np.ndarray
    directions: np.ndarray
    slope: float
    middle: float
    scale: float = 1.0


def speech_directions(embeddings: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Centre [EMBEDDING] and whitening directions [EMBEDDING, count] of training speech's embeddings [n, EMBEDDING]."""
    centre = embeddings.mean(0)
    spread, axes = np.linalg.eigh(np.cov((embeddings - centre).T))
    return centre, axes[:, -count:] / np.sqrt(spread[-count:] + 1e-8)


def distance(embeddings: np.ndarray, centre: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """How unlike training speech, [n]; about 1 for training speech itself."""
    return np.sqrt((((embeddings - centre) @ directions) ** 2).mean(1))


class Shipped(nn.Module):
    """waveform [batch, samples], lengths [batch] -> logits, embedding, frames, frame_logits.

    Frames are weighted by how much of speech they are, such that their mean is the embedding, and the mean of
    frame_logits
    is logits, exactly. In pauses they are zero and their logits say what is likely beforehand.
    """

    def __init__(self, student: Student, calibration: Calibration) -> None:
        super().__init__()
        self.student = student
        weight, bias = torch.zeros(len(LABELS), EMBEDDING), torch.full((len(LABELS),), ABSENT_LOGIT)
        weight[KNOWN_INDEX] = student.head.weight.detach() / calibration.temperature / calibration.scale
        bias[KNOWN_INDEX] = (
            student.head.bias.detach() / calibration.temperature + torch.from_numpy(calibration.bias).float()
        )
        bias[UNKNOWN] = 0.0
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("centre", torch.from_numpy(calibration.centre * calibration.scale).float())
        self.register_buffer("directions", torch.from_numpy(calibration.directions / calibration.scale).float())
        self.register_buffer("only_unknown", nn.functional.one_hot(torch.tensor(UNKNOWN), len(LABELS)).float())
        self.slope, self.middle, self.scale = calibration.slope, calibration.middle, calibration.scale

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mel, mel_lengths, speech = self.student.mel(waveform, lengths)
        features, weight = self.student.encoder(mel, mel_lengths, speech)
        mask = valid_mask(features.shape[1], torch.div(mel_lengths - 1, 2, rounding_mode="trunc") + 1)[:, :, None]
        frames = self.student.projection(features, weight) * self.scale
        count, share = mask.sum(1), weight[:, :, None] / torch.clamp(weight.sum(1), min=1e-3)[:, None, None]
        embedding = (frames * share).sum(1)
        frames = frames * share * count[:, None, :]
        known = nn.functional.linear(embedding, self.weight, self.bias)
        unknown = self.unknown(embedding, known)[:, None] * self.only_unknown
        frame_logits = (nn.functional.linear(frames, self.weight, self.bias) + unknown[:, None, :]) * mask
        return known + unknown, embedding, frames, frame_logits

    def unknown(self, embedding: Tensor, logits: Tensor) -> Tensor:
        """The logit of `unknown` [batch] that gives it the odds of the distance against all others together."""
        apart = (embedding - self.centre) @ self.directions
        distance = torch.sqrt((apart * apart).mean(1) + 1e-6)
        others = torch.logsumexp(logits[:, KNOWN_INDEX], 1)
        return others + torch.clamp(self.slope * (distance - self.middle), -20.0, 20.0)
