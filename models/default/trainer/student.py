"""The default model: log-mel, a masked audio transformer, utterance-aware frames, and one linear head.

Because the head is linear and the embedding is the mean of the frames, mean(frame_logits) == logits holds exactly.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .encoder import Block, Encoder, attention_bias, whisper_encoder
from .frontend import LogMel
from .labels import KNOWN

EMBEDDING = 256
WHISPER_WIDTH = 512
# Standard deviations from the mean of training speech, for frames and for statistics over them: odd lines can't drive
# the scores.
FARTHEST_FRAME, FARTHEST = 8.0, 5.0


@dataclass(frozen=True)
class Shape:
    """Whisper's blocks and their feed-forward width, then new blocks at half the frame rate and theirs."""

    depth: int = 1
    hidden: int = 2048
    blocks: int = 1
    block_hidden: int = 384
    # How much of the voice's long-term spectrum, in which line and microphone lie, is taken away: 0 to 1.
    flat: float = 0.0


SMALL = Shape()
TEACHER = Shape(depth=6, hidden=2048, blocks=1, block_hidden=1024)


class Local(nn.Module):
    """x + a convolution over time (each channel alone), then an attention block; shape [batch, T, EMBEDDING]."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(EMBEDDING)
        self.conv = nn.Conv1d(EMBEDDING, EMBEDDING, 7, padding=3, groups=EMBEDDING)
        self.block = Block(EMBEDDING, hidden)

    def forward(self, x: Tensor, weight: Tensor, drop: float) -> Tensor:
        near = self.conv((self.norm(x) * weight[:, :, None]).transpose(1, 2)).transpose(1, 2)
        return self.block(x + nn.functional.gelu(near), attention_bias(weight), drop)


class Standard(nn.Module):
    """Brings each of `width` numbers to mean 0 and deviation 1 over training speech, measured once before training.

    Whisper's features differ in size a hundredfold; without this the small ones are learnt last.
    """

    def __init__(self, width: int, farthest: float) -> None:
        super().__init__()
        self.farthest = farthest
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def measure(self, x: Tensor) -> None:
        """`x` [n, width]."""
        self.centre.copy_(x.mean(0))
        self.scale.copy_(1 / (x.std(0) + 1e-3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.clamp((x - self.centre) * self.scale, -self.farthest, self.farthest)


class Projection(nn.Module):
    """Features [batch, T, width] -> frames [batch, T, EMBEDDING], each seeing the utterance's mean and spread."""

    def __init__(self, width: int, shape: Shape) -> None:
        super().__init__()
        self.frame_scale = Standard(width, FARTHEST_FRAME)
        self.statistic_scale = Standard(2 * width, FARTHEST)
        self.narrow = nn.Linear(width, EMBEDDING)
        self.halve = nn.Linear(2 * EMBEDDING, EMBEDDING)
        self.blocks = nn.ModuleList(Local(shape.block_hidden) for _ in range(shape.blocks))
        self.norm_deep = nn.LayerNorm(2 * EMBEDDING)
        self.context = nn.Linear(2 * (width + EMBEDDING), EMBEDDING)
        self.last, self.deep = nn.Linear(EMBEDDING, EMBEDDING), nn.Linear(EMBEDDING, EMBEDDING, bias=False)

    def forward(self, x: Tensor, weight: Tensor, drop: float = 0.0) -> Tensor:
        """`weight` [batch, T] is 1 for speech, 0 for silence and padding, whose frames come out as zeros."""
        narrow = self.narrow(self.frame_scale(x))
        deep, half = self.halved(narrow, weight)
        for block in self.blocks:
            deep = block(deep, half, drop)
        statistics = torch.cat(
            [self.statistic_scale(mean_and_spread(x, weight)), self.norm_deep(mean_and_spread(deep, half))], dim=1
        )
        context = self.context(nn.functional.dropout(statistics, drop, self.training))[:, None, :]
        again = self.deep(deep).repeat_interleave(2, dim=1)[:, : x.shape[1]]
        return nn.functional.gelu(self.last(narrow) + again + context)

    def halved(self, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Two frames to one, by their weights: [batch, ceil(T / 2), EMBEDDING] and weights [batch, ceil(T / 2)]."""
        x = nn.functional.pad(x * weight[:, :, None], (0, 0, 0, 1))
        weight = nn.functional.pad(weight, (0, 1))
        half = torch.div(x.shape[1], 2, rounding_mode="trunc")
        pairs = x[:, : 2 * half].reshape(x.shape[0], half, 2 * EMBEDDING)
        return self.halve(pairs), weight[:, : 2 * half].reshape(x.shape[0], half, 2).amax(2)


def mean_and_spread(x: Tensor, weight: Tensor) -> Tensor:
    """Mean and standard deviation over time by weight, shape [batch, 2 * width]."""
    share = (weight / torch.clamp(weight.sum(1, keepdim=True), min=1e-3))[:, :, None]
    mean = (x * share).sum(1)
    centred = x - mean[:, None, :]
    return torch.cat([mean, torch.sqrt((centred * centred * share).sum(1) + 1e-5)], dim=1)


class Student(nn.Module):
    """What is trained."""

    def __init__(self, shape: Shape = SMALL, width: int = WHISPER_WIDTH) -> None:
        super().__init__()
        self.mel = LogMel(shape.flat)
        self.encoder = Encoder(width, shape.hidden, shape.depth)
        self.projection = Projection(width, shape)
        self.head = nn.Linear(EMBEDDING, len(KNOWN))

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Logits over KNOWN [batch, 7] and the embedding [batch, EMBEDDING]."""
        return self.classify(*self.mel(waveform, lengths))

    def classify(
        self, mel: Tensor, mel_lengths: Tensor, speech: Tensor, offset: int = 0, drop: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        features, weight = self.encoder(mel, mel_lengths, speech, offset)
        frames = self.projection(features, weight, drop)
        share = (weight / torch.clamp(weight.sum(1, keepdim=True), min=1e-3))[:, :, None]
        embedding = (frames * share).sum(1)
        return self.head(nn.functional.dropout(embedding, drop, self.training)), embedding


def measure(student: Student, batches: list[tuple[Tensor, Tensor]]) -> None:
    """Sets the scales of what the encoder gives, from waves [batch, samples] and lengths [batch]."""
    frames, statistics = [], []
    with torch.no_grad():
        for wave, lengths in batches:
            features, weight = student.encoder(*student.mel(wave, lengths))
            frames.append(features[weight > 0.5][::7])
            statistics.append(mean_and_spread(features, weight))
    student.projection.frame_scale.measure(torch.cat(frames))
    student.projection.statistic_scale.measure(torch.cat(statistics))


def new_student(shape: Shape, seed: int) -> Student:
    """Whisper's stem and first blocks; everything after is new."""
    torch.manual_seed(seed)
    student = Student(shape)
    student.encoder = whisper_encoder(shape.depth, shape.hidden)
    return student
