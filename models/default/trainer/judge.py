"""What checkpoints say of segments that they were not taught: logits and embeddings, for the calibration and for
figures of corpora left out."""

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch

from .audio import Audio
from .batches import by_length, pad
from .conditions import CONDITIONS
from .corpus import ACTED, Clip, data_dir, read_clips
from .files import made_after, write
from .student import Student
from .train import load

# Of CREMA-D's training speakers every so many segments are judged by the run that leaves the corpus out.
CREMA_STRIDE = 6
# Training segments that are looked at.
SAMPLE = 3000


def judged(clips: list[Clip], audio: Audio) -> np.ndarray:
    """Numbers of the segments: all test and validation speakers, and the acted corpora as a whole."""
    chosen = []
    for number, clip_number in enumerate(audio.clip):
        clip = clips[clip_number]
        acted = clip.corpus in ACTED and clip.target >= 0
        if (acted and (clip.role != "train" or clip.corpus != "crema_d" or number % CREMA_STRIDE == 0)) or (
            clip.ordinary and clip.role == "test"
        ):
            chosen.append(number)
    return np.array(chosen)


opened = lru_cache(Audio)


def changed(work: Path, condition: str, number: int) -> np.ndarray:
    return CONDITIONS[condition](opened(work).wave(number), number)


def trained(clips: list[Clip], audio: Audio) -> np.ndarray:
    """Numbers of some training segments, whose embeddings say what training speech is like."""
    members = [
        n
        for n, clip in enumerate(audio.clip)
        if clips[clip].role == "train" and (clips[clip].target >= 0 or clips[clip].ordinary)
    ]
    return np.random.default_rng(0).choice(members, min(SAMPLE, len(members)), replace=False)


def condition_waves(work: Path, condition: str, chosen: np.ndarray, threads: int) -> list[np.ndarray]:
    with ProcessPoolExecutor(threads) as pool:
        return list(pool.map(partial(changed, work, condition), chosen.tolist(), chunksize=64))


def answers(student: Student, waves: list[np.ndarray], device: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits [n, 7] and embeddings [n, 256]."""
    logits, embeddings = np.zeros((len(waves), 7), np.float32), np.zeros((len(waves), 256), np.float16)
    with torch.inference_mode():
        for batch in by_length(np.arange(len(waves)), np.array([len(w) for w in waves]), 64):
            waveform, lengths = pad([waves[i] for i in batch])
            found = student(waveform.to(device), lengths.to(device))
            logits[batch], embeddings[batch] = (x.float().cpu().numpy() for x in found)
    return logits, embeddings


def judge(clips: list[Clip], work: Path, names: list[str], device: str, threads: int, conditions: list[str]) -> None:
    """Writes judged-NAME.npz for every checkpoint NAME.pt that has changed since: `number` [n], and per condition its
    answers."""
    audio = Audio.of(clips, work)
    names = [name for name in names if not made_after(work / f"judged-{name}.npz", work / f"{name}.pt")]
    if not names:
        return
    chosen = judged(clips, audio)
    students = {name: load(work / f"{name}.pt", device) for name in names}
    found: dict[str, dict[str, np.ndarray]] = {name: {"number": chosen} for name in names}
    for condition in conditions:
        waves = condition_waves(work, condition, chosen, threads)
        for name, student in students.items():
            logits, embeddings = answers(student, waves, device)
            found[name][f"{condition}.logits"] = logits
            if condition == "clean":
                found[name]["embeddings"] = embeddings
    sample = trained(clips, audio)
    waves = [audio.wave(n) for n in sample]
    for name, student in students.items():
        found[name] |= {"train.number": sample, "train.embeddings": answers(student, waves, device)[1]}
    for name, arrays in found.items():
        write(work / f"judged-{name}.npz", partial(np.savez_compressed, **arrays))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--conditions", nargs="+", default=["clean", "line"], choices=list(CONDITIONS))
    parser.add_argument("--names", nargs="+", required=True, help="of checkpoints")
    arguments = parser.parse_args()
    judge(
        read_clips(data_dir(arguments.data)),
        arguments.work,
        arguments.names,
        arguments.device,
        arguments.threads,
        arguments.conditions,
    )
