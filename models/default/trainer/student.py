"""The default model: log-mel, a masked audio transformer, an utterance-aware projection, and one linear head.

Because the head is linear and the embedding is the mean of the frames, mean(frame_logits) == logits holds exactly.
"""

import torch
from torch import Tensor, nn

from .encoder import Block, Encoder, attention_bias, whisper_encoder
from .frontend import LogMel, valid_mask
from .labels import ABSENT_LOGIT, KNOWN, KNOWN_INDEX, LABELS
from .recipe import Recipe

EMBEDDING = 256
# Standard deviations from the mean of clean training speech.
FARTHEST = 5.0


class Projection(nn.Module):
    """Frames [batch, T, width] -> frames [batch, T, EMBEDDING], each seeing the utterance's mean and spread."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.narrow = nn.Linear(width, EMBEDDING)
        self.block = Block(EMBEDDING, 4 * EMBEDDING)
        self.register_buffer("centre", torch.zeros(2 * (width + EMBEDDING)))
        self.register_buffer("scale", torch.ones(2 * (width + EMBEDDING)))
        self.context = nn.Linear(2 * (width + EMBEDDING), EMBEDDING)
        self.last = nn.Linear(EMBEDDING, EMBEDDING)

    def forward(self, x: Tensor, mask: Tensor, drop: float = 0.0) -> Tensor:
        """`mask` has shape [batch, T, 1]; frames past a clip's end come out as zeros."""
        narrow = self.block(self.narrow(self.norm(x)), attention_bias(mask[:, :, 0]), drop)
        statistics = torch.cat([mean_and_spread(x, mask), mean_and_spread(narrow, mask)], dim=2)
        # Silence and odd lines lie far from all speech: bounded, they can't drive the scores to certainty.
        standard = torch.clamp((statistics - self.centre) * self.scale, -FARTHEST, FARTHEST)
        context = self.context(nn.functional.dropout(standard, drop, self.training))
        return nn.functional.gelu(self.last(narrow) + context) * mask


def mean_and_spread(x: Tensor, mask: Tensor) -> Tensor:
    """Mean and standard deviation over the valid frames, shape [batch, 1, 2 * width]."""
    count = mask.sum(1, keepdim=True)
    mean = (x * mask).sum(1, keepdim=True) / count
    centred = (x - mean) * mask
    return torch.cat([mean, torch.sqrt((centred * centred).sum(1, keepdim=True) / count + 1e-5)], dim=2)


class Student(nn.Module):
    """What is trained. `width` and `hidden` are those of Whisper-base, so that its weights fit."""

    def __init__(self, hidden: int, depth: int, width: int = 512) -> None:
        super().__init__()
        self.mel = LogMel()
        self.encoder = Encoder(width, hidden, depth)
        self.projection = Projection(width)
        self.head = nn.Linear(EMBEDDING, len(KNOWN))

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Logits over KNOWN [batch, 6] and frames [batch, T, EMBEDDING]."""
        return self.classify(*self.encode(*self.mel(waveform, lengths)))

    def encode(self, mel: Tensor, mel_lengths: Tensor, offset: int = 0) -> tuple[Tensor, Tensor]:
        """Features [batch, T, width] and lengths. Positions are taken out again: how late a frame is says nothing of its emotion."""
        states, positions, lengths = self.encoder(mel, mel_lengths, offset)
        return states[-1] - positions, lengths

    def classify(self, features: Tensor, lengths: Tensor, drop: float = 0.0) -> tuple[Tensor, Tensor]:
        mask = valid_mask(features.shape[1], lengths)[:, :, None]
        frames = self.projection(features, mask, drop)
        embedding = frames.sum(1) / mask.sum(1)
        return self.head(nn.functional.dropout(embedding, drop, self.training)), frames


def new_student(recipe: Recipe) -> Student:
    """Whisper's stem and first block, of which only the last block's feed-forward half is tuned; everything after is new.

    What comes before has heard 680,000 hours and needs no gradient, which spares a third of the work of a step.
    """
    torch.manual_seed(recipe.seed)
    student = Student(recipe.hidden, recipe.depth)
    student.encoder = whisper_encoder(recipe.depth).requires_grad_(False)
    for part in (student.encoder.blocks[-1].up, student.encoder.blocks[-1].down):
        part.requires_grad_(True)
    return student


class Shipped(nn.Module):
    """The student under the model contract: nine labels, calibrated logits."""

    def __init__(self, student: Student, temperature: float) -> None:
        super().__init__()
        self.student = student
        weight = torch.zeros(len(LABELS), EMBEDDING)
        bias = torch.full((len(LABELS),), ABSENT_LOGIT)
        weight[KNOWN_INDEX] = student.head.weight.detach() / temperature
        bias[KNOWN_INDEX] = student.head.bias.detach() / temperature
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        features, valid = self.student.encode(*self.student.mel(waveform, lengths))
        mask = valid_mask(features.shape[1], valid)[:, :, None]
        frames = self.student.projection(features, mask)
        embedding = frames.sum(1) / mask.sum(1)
        frame_logits = nn.functional.linear(frames, self.weight, self.bias) * mask
        return nn.functional.linear(embedding, self.weight, self.bias), embedding, frames, frame_logits
