"""Hides random bands and moments of a log-mel batch, so that the model can't rest on one cue."""

import numpy as np
import torch

WIDEST_BAND = 12
LONGEST_SPAN = 20


def hide(mel: torch.Tensor, mel_lengths: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
    """mel [batch, 80, M], changed in place: one band and one span a clip set to the clip's mean."""
    for row, frames in enumerate(mel_lengths.tolist()):
        level = mel[row, :, :frames].mean()
        band = generator.integers(WIDEST_BAND + 1)
        low = generator.integers(mel.shape[1] - band)
        mel[row, low : low + band, :frames] = level
        span = generator.integers(min(LONGEST_SPAN, frames // 8) + 1)
        start = generator.integers(frames - span + 1)
        mel[row, :, start : start + span] = level
    return mel
