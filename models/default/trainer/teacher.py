"""The teacher: a small network on statistics of every layer of the frozen Whisper-base encoder.

It writes soft labels for the training clips of CREMA-D. Each clip's label comes from networks that never heard its speaker
(five folds by speaker), so it carries what generalises and not what was learnt by heart.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .audio import Audio
from .batches import by_length, pad
from .corpus import Clip, data_dir, indices, read_clips
from .encoder import whisper_encoder
from .frontend import LogMel, valid_mask
from .labels import KNOWN
from .student import mean_and_spread

DEPTH = 6
FOLDS = 5
SEEDS = 1


def extract(clips: list[Clip], work: Path) -> np.ndarray:
    """Mean and spread over time of the stem's and each block's output, shape [clips, layers * 1024]. Resumes."""
    audio, path = Audio(work), work / "stats.npz"
    wanted = np.concatenate([indices(clips, "train", "crema_d"), indices(clips, "validation", "crema_d")])
    statistics, done = np.zeros((len(clips), DEPTH + 1, 1024), np.float32), np.zeros(len(clips), bool)
    if path.exists():
        saved = np.load(path)
        statistics, done = saved["st"], saved["done"]
    lengths = np.array([audio.length(i) for i in range(len(clips))])
    batches = by_length(wanted[~done[wanted]], lengths, 24, np.random.default_rng(0))
    encoder, mel = whisper_encoder(DEPTH).eval(), LogMel()
    for number, batch in enumerate(batches):
        with torch.inference_mode():
            states, _, frames = encoder(*mel(*pad([audio[i] for i in batch])))
            mask = valid_mask(states[0].shape[1], frames)[:, :, None]
            statistics[batch] = torch.cat([mean_and_spread(state, mask) for state in states], dim=1).numpy()
        done[batch] = True
        if number % 20 == 19 or number == len(batches) - 1:
            np.savez(work / "stats.partial.npz", st=statistics, done=done)
            (work / "stats.partial.npz").rename(path)
            print(f"teacher features: batch {number + 1} of {len(batches)}", flush=True)
    return statistics.reshape(len(clips), -1)


def fit(features: torch.Tensor, targets: torch.Tensor, seed: int, epochs: int = 10) -> nn.Module:
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Dropout(0.4), nn.Linear(features.shape[1], 128), nn.GELU(), nn.Dropout(0.5), nn.Linear(128, len(KNOWN))
    )
    steps = epochs * -(-len(features) // 64)
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=steps, pct_start=0.1)
    for _ in range(epochs):
        for batch in torch.randperm(len(features)).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(features[batch]), targets[batch], label_smoothing=0.05).backward()
            optimiser.step()
            schedule.step()
    return network.eval()


def soft_labels(clips: list[Clip], features: np.ndarray) -> np.ndarray:
    """Probabilities over KNOWN, shape [clips, 6]; zeros where there is no teacher."""
    train, validation = indices(clips, "train", "crema_d"), indices(clips, "validation", "crema_d")
    mean, spread = features[train].mean(0), features[train].std(0) + 1e-3
    inputs = torch.from_numpy((features - mean) / spread)
    targets = torch.tensor([clip.target for clip in clips])
    speakers = sorted({clips[i].speaker for i in train})
    fold_of = {speaker: position % FOLDS for position, speaker in enumerate(speakers)}
    folds = np.array([fold_of[clips[i].speaker] for i in train])
    labels = np.zeros((len(clips), len(KNOWN)), np.float32)
    for fold in range(FOLDS):
        seen, unseen = train[folds != fold], train[folds == fold]
        for seed in range(SEEDS):
            network = fit(inputs[seen], targets[seen], seed)
            with torch.inference_mode():
                labels[unseen] += torch.softmax(network(inputs[unseen]), dim=1).numpy() / SEEDS
                labels[validation] += torch.softmax(network(inputs[validation]), dim=1).numpy() / SEEDS / FOLDS
        right = (labels[unseen].argmax(1) == targets[unseen].numpy()).mean()
        print(f"teacher fold {fold}: accuracy {right:.3f} on unseen speakers", flush=True)
    right = (labels[validation].argmax(1) == targets[validation].numpy()).mean()
    print(f"teacher on validation speakers: accuracy {right:.3f}", flush=True)
    labels[validation] = 0.0
    return labels


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    if not (arguments.work / "teacher.npy").exists():
        found = read_clips(data_dir(arguments.data))
        np.save(arguments.work / "teacher.npy", soft_labels(found, extract(found, arguments.work)))
