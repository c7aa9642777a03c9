"""Clips padded into batches."""

import numpy as np
import torch


def pad(waves: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Waveforms to (waveform [batch, samples], lengths [batch]), zero padded at the end."""
    lengths = torch.tensor([len(w) for w in waves])
    waveform = torch.zeros(len(waves), max(int(lengths.max()), 400))
    for row, wave in enumerate(waves):
        waveform[row, : len(wave)] = torch.from_numpy(wave)
    return waveform, torch.clamp(lengths, min=400)


def by_length(
    indices: np.ndarray, lengths: np.ndarray, size: int, generator: np.random.Generator | None = None
) -> list[np.ndarray]:
    """Batches of clips of about the same length (less padding); shuffled when a generator is given."""
    jitter = generator.uniform(0.8, 1.25, len(indices)) if generator else 1.0
    order = indices[np.argsort(lengths[indices] * jitter, kind="stable")]
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    if generator:
        generator.shuffle(batches)
    return batches
