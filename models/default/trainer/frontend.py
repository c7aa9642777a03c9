"""Waveform to log-mel, as plain tensor operations that export to ONNX: level, padding and frame grid are handled here.

The grid has no centre padding: mel frame j covers samples [160 j, 160 j + 400), so that after the encoder's stride of two
there are floor((samples - 400) / 320) + 1 frames, 50 a second, as in emotion2vec.
"""

import numpy as np
import torch
from torch import Tensor, nn

SAMPLE_RATE = 16000
WINDOW = 400
HOP = 160
MEL_BANDS = 80
SHORTEST = 400
# Every clip is brought to this level, so the model can't lean on a line's gain. It is near that of read speech.
TARGET_RMS = 0.06
# Below this the signal counts as silence and is not pumped up to full level.
FLOOR_RMS = 1e-4


def mel_filters() -> np.ndarray:
    """Triangular filters of equal area on the Slaney mel scale, shape [MEL_BANDS, WINDOW // 2 + 1]."""
    knee_hz, knee_mel, step = 1000.0, 15.0, np.log(6.4) / 27.0

    def to_hz(mel: np.ndarray) -> np.ndarray:
        return np.where(mel < knee_mel, mel * 200.0 / 3.0, knee_hz * np.exp(step * (mel - knee_mel)))

    top = knee_mel + np.log(SAMPLE_RATE / 2 / knee_hz) / step
    edges = to_hz(np.linspace(0.0, top, MEL_BANDS + 2))
    bins = np.linspace(0.0, SAMPLE_RATE / 2, WINDOW // 2 + 1)
    rising = (bins[None] - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins[None]) / np.diff(edges)[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return (triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)


def dft_basis() -> np.ndarray:
    """Hann-windowed cosines, then sines, shape [2 * (WINDOW // 2 + 1), 1, WINDOW]."""
    n = np.arange(WINDOW)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / WINDOW)
    phase = 2 * np.pi * np.outer(np.arange(WINDOW // 2 + 1), n) / WINDOW
    return (np.concatenate([np.cos(phase), np.sin(phase)]) * hann)[:, None, :].astype(np.float32)


def valid_mask(count: int | Tensor, lengths: Tensor) -> Tensor:
    """1.0 where a position is below its clip's length, shape [batch, count]."""
    return (torch.arange(count, device=lengths.device)[None, :] < lengths[:, None]).float()


class LogMel(nn.Module):
    """waveform [batch, samples], lengths [batch] -> log-mel [batch, 80, M] with zeros past each clip's end, mel lengths [batch]."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("basis", torch.from_numpy(dft_basis()), persistent=False)
        self.register_buffer("filters", torch.from_numpy(mel_filters())[:, :, None], persistent=False)

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        lengths = torch.clamp(lengths, min=SHORTEST)
        level = self.levelled(waveform, lengths)
        spectrum = nn.functional.conv1d(level[:, None, :], self.basis, stride=HOP)
        real, imaginary = spectrum.chunk(2, dim=1)
        mel = nn.functional.conv1d(real * real + imaginary * imaginary, self.filters)
        mel_lengths = torch.div(lengths - WINDOW, HOP, rounding_mode="trunc") + 1
        mask = valid_mask(mel.shape[2], mel_lengths)[:, None, :]
        log = torch.log10(torch.clamp(mel, min=1e-10))
        loudest = torch.amax(log * mask - 20.0 * (1.0 - mask), dim=(1, 2), keepdim=True)
        return (torch.maximum(log, loudest - 8.0) + 4.0) / 4.0 * mask, mel_lengths

    @staticmethod
    def levelled(waveform: Tensor, lengths: Tensor) -> Tensor:
        """Zero mean and TARGET_RMS over the valid samples, zero past them."""
        mask = valid_mask(waveform.shape[1], lengths)
        count = lengths[:, None].float()
        centred = (waveform - (waveform * mask).sum(1, keepdim=True) / count) * mask
        power = (centred * centred).sum(1, keepdim=True) / count
        return centred * (TARGET_RMS / torch.sqrt(power + FLOOR_RMS**2))
