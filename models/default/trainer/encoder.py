"""A masked audio transformer shaped like Whisper's encoder: two convolutions, then pre-norm attention blocks.

Frames past a clip's end are zeroed before each convolution and never attended to, so a padded batch gives what
single clips give.
Nor is silence attended to: how much of it there is can't be seen.
"""

import math

import torch
from torch import Tensor, nn

from .frontend import MEL_BANDS, valid_mask
from .whisper_weights import read_encoder

HEAD_WIDTH = 64
LEAST_WEIGHT = 1e-9


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); shape [batch, T, width]."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.heads = width // HEAD_WIDTH
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor, bias: Tensor, drop: float = 0.0) -> Tensor:
        x = x + nn.functional.dropout(self.attend(self.norm1(x), bias), drop, self.training)
        hidden = nn.functional.gelu(self.up(self.norm2(x)))
        return x + nn.functional.dropout(self.down(hidden), drop, self.training)

    def attend(self, x: Tensor, bias: Tensor) -> Tensor:
        batch, frames, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, frames, 3, self.heads, HEAD_WIDTH).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.out(mixed.transpose(1, 2).reshape(batch, frames, width))


class Stem(nn.Module):
    """log-mel [batch, 80, M] -> features [batch, T, width] and sinusoidal positions; T = (M - 1) // 2 + 1."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(MEL_BANDS, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        step = math.log(10000.0) / (width // 2 - 1)
        self.register_buffer("rates", torch.exp(-step * torch.arange(width // 2)), persistent=False)

    def forward(self, mel: Tensor, mel_lengths: Tensor, offset: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Features, the positions [T, width] to be added to them, and lengths in frames."""
        x = nn.functional.gelu(self.conv1(mel)) * valid_mask(mel.shape[2], mel_lengths)[:, None, :]
        x = nn.functional.gelu(self.conv2(x)).transpose(1, 2)
        lengths = torch.div(mel_lengths - 1, 2, rounding_mode="trunc") + 1
        phase = (torch.arange(x.shape[1], device=x.device) + offset).float()[:, None] * self.rates[None, :]
        return x, torch.cat([torch.sin(phase), torch.cos(phase)], dim=1), lengths


def attention_bias(weight: Tensor) -> Tensor:
    """What keys of this weight (1 speech, 0 silence or padding; [batch, T]) are worth: its logarithm, shape [batch,
    1, 1, T]."""
    return torch.log(torch.clamp(weight, min=LEAST_WEIGHT))[:, None, None, :]


class Encoder(nn.Module):
    """Stem and `depth` blocks."""

    def __init__(self, width: int = 512, hidden: int = 2048, depth: int = 6) -> None:
        super().__init__()
        self.stem = Stem(width)
        self.blocks = nn.ModuleList(Block(width, hidden) for _ in range(depth))

    def forward(self, mel: Tensor, mel_lengths: Tensor, speech: Tensor, offset: int = 0) -> tuple[Tensor, Tensor]:
        """Features [batch, T, width] less the positions (how late a frame is says nothing of its emotion), and
        weights [batch, T].

        A weight is 1 for speech, 0 for silence and past the clip's end; `speech` is LogMel's.
        """
        features, positions, lengths = self.stem(mel, mel_lengths, offset)
        x = features + positions
        weight = speech[:, : x.shape[1]] * valid_mask(x.shape[1], lengths)
        bias = attention_bias(weight)
        for block in self.blocks:
            x = block(x, bias)
        return x - positions, weight


def whisper_encoder(depth: int, hidden: int) -> Encoder:
    """The first `depth` blocks of Whisper-base with their published weights, their feed-forward pruned to `hidden`
    units.

    Those units are kept whose weights are largest.
    """
    source = read_encoder()
    for n in range(depth):
        down = f"layer_{n}/ffn"
        size = source[f"{down}/linear_0/weight"].norm(dim=1) * source[f"{down}/linear_1/weight"].norm(dim=0)
        kept = size.topk(hidden).indices.sort().values
        source[f"{down}/linear_0/weight"] = source[f"{down}/linear_0/weight"][kept]
        source[f"{down}/linear_0/bias"] = source[f"{down}/linear_0/bias"][kept]
        source[f"{down}/linear_1/weight"] = source[f"{down}/linear_1/weight"][:, kept]
    encoder = Encoder(hidden=hidden, depth=depth)
    names = {"stem.conv1": "conv1", "stem.conv2": "conv2"}
    for n in range(depth):
        attention, mlp = f"layer_{n}/self_attention", f"layer_{n}/ffn"
        names |= {f"blocks.{n}.norm1": f"{attention}/layer_norm", f"blocks.{n}.norm2": f"{mlp}/layer_norm"}
        names |= {f"blocks.{n}.qkv": f"{attention}/linear_0", f"blocks.{n}.out": f"{attention}/linear_1"}
        names |= {f"blocks.{n}.up": f"{mlp}/linear_0", f"blocks.{n}.down": f"{mlp}/linear_1"}
    state = {}
    for ours, theirs in names.items():
        norm = theirs.endswith("layer_norm")
        state[f"{ours}.weight"] = source[f"{theirs}/{'gamma' if norm else 'weight'}"]
        state[f"{ours}.bias"] = source[f"{theirs}/{'beta' if norm else 'bias'}"]
    encoder.load_state_dict(state)
    return encoder
