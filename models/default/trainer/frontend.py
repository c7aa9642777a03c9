"""Waveform to log-mel, as plain tensor operations that export to ONNX: level, padding and frame grid are handled here.

The grid has no centre padding: mel frame j covers samples [160 j, 160 j + 400), so that after the encoder's stride
of two
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
# Power beside that of the speech, below which a moment counts as silence; beside that of the noise; and never above
# this.
QUIET, ABOVE_NOISE, LOUDEST_THRESHOLD = 10**-2.5, 4.0, 0.05
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
    """waveform [batch, samples], lengths [batch] -> log-mel [batch, 80, M] with zeros past each clip's end, mel
    lengths [batch],
    and speech [batch, P]: for each 20 ms from 0 (silence beside this voice) to 1 (speech), P = samples // 320 >= T."""

    def __init__(self, flat: float = 0.0) -> None:
        super().__init__()
        self.flat = flat
        self.register_buffer("basis", torch.from_numpy(dft_basis()), persistent=False)
        self.register_buffer("filters", torch.from_numpy(mel_filters())[:, :, None], persistent=False)

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        lengths = torch.clamp(lengths, min=SHORTEST)
        centred = self.centred(waveform, lengths)
        power, valid = self.power(centred, lengths)
        level = speech_power(power, valid)
        gain = TARGET_RMS / torch.sqrt(level + FLOOR_RMS**2)
        spectrum = nn.functional.conv1d((centred * gain)[:, None, :], self.basis, stride=HOP)
        real, imaginary = spectrum.chunk(2, dim=1)
        mel = nn.functional.conv1d(real * real + imaginary * imaginary, self.filters)
        mel_lengths = torch.div(lengths - WINDOW, HOP, rounding_mode="trunc") + 1
        mask = valid_mask(mel.shape[2], mel_lengths)[:, None, :]
        log = torch.log10(torch.clamp(mel, min=1e-10))
        loudest = torch.amax(log * mask - 20.0 * (1.0 - mask), dim=(1, 2), keepdim=True)
        mel = (torch.maximum(log, loudest - 8.0) + 4.0) / 4.0 * mask
        speech = speech_share(power, valid, level)
        if self.flat:
            mel = mel - self.flat * long_term(mel, speech) * mask
        return mel, mel_lengths, speech

    @staticmethod
    def centred(waveform: Tensor, lengths: Tensor) -> Tensor:
        """Zero mean over the valid samples, zero past them."""
        mask = valid_mask(waveform.shape[1], lengths)
        return (waveform - (waveform * mask).sum(1, keepdim=True) / lengths[:, None].float()) * mask

    @staticmethod
    def power(wave: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Mean square of each whole 20 ms, and whether it lies inside the clip; both [batch, P]."""
        power = nn.functional.avg_pool1d((wave * wave)[:, None, :], 2 * HOP, 2 * HOP)[:, 0]
        return power, valid_mask(power.shape[1], torch.div(lengths, 2 * HOP, rounding_mode="trunc"))


def long_term(mel: Tensor, speech: Tensor) -> Tensor:
    """How each band's mean over speech differs from the mean of all bands, [batch, 80, 1]."""
    weight = nn.functional.pad(speech.repeat_interleave(2, dim=1), (0, 2))[:, None, : mel.shape[2]]
    mean = (mel * weight).sum(2, keepdim=True) / torch.clamp(weight.sum(2, keepdim=True), min=1e-3)
    return mean - mean.mean(1, keepdim=True)


def speech_power(power: Tensor, valid: Tensor) -> Tensor:
    """Mean power of speech [batch, 1]: of the moments less than 10 dB below the mean, found twice, so that silence
    hardly counts."""
    level = (power * valid).sum(1, keepdim=True) / valid.sum(1, keepdim=True)
    for _ in range(2):
        loud = (power >= 0.1 * level).float() * valid
        level = (power * loud).sum(1, keepdim=True) / loud.sum(1, keepdim=True)
    return level


def speech_share(power: Tensor, valid: Tensor, level: Tensor) -> Tensor:
    """0 to 1 for each 20 ms [batch, P]: far above the line's noise and not far below the speech. 60 ms round a sound
    belong to it."""
    eps = 1e-12
    near = nn.functional.avg_pool1d(torch.stack([power * valid, valid], 1), 5, 1, 2)
    smooth = near[:, 0] / torch.clamp(near[:, 1], min=1e-3)
    # Digital silence tells nothing of the noise.
    candidates = torch.where((valid > 0) & (smooth > level * 1e-5), smooth, level.expand_as(smooth))
    noise = candidates.amin(1, keepdim=True)
    threshold = torch.minimum(torch.maximum(level * QUIET, noise * ABOVE_NOISE), level * LOUDEST_THRESHOLD)
    decibels = 10.0 * (torch.log10(power * valid + eps) - torch.log10(threshold + eps))
    return nn.functional.max_pool1d((torch.sigmoid(decibels / 1.5) * valid)[:, None, :], 7, 1, 3)[:, 0] * valid
