"""The clips of the three corpora and their split by speaker.

Three roles: `train` teaches, `validation` chooses (epoch, temperature), `test` is looked at once, by evaluate.py.
No speaker has two roles.
"""

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .labels import KNOWN

# Same audio under two labels: neither label can be trusted, so both files go.
DUPLICATES = {
    "1006_TIE_HAP_XX", "1006_TIE_NEU_XX",
    "1013_WSI_DIS_XX", "1013_WSI_SAD_XX",
    "1017_IWW_ANG_XX", "1017_IWW_FEA_XX",
}
TEST_SPEAKERS = {"crema_d": {str(n) for n in range(1076, 1092)}, "emodb": {"15", "16"}, "aishell": {"S0252"}}
VALIDATION_SPEAKERS = {"crema_d": {str(n) for n in range(1004, 1076, 8)}, "emodb": {"14"}, "aishell": set()}


@dataclass(frozen=True)
class Clip:
    """One labelled utterance. `emotion` is what the actor intended; `votes` the crowd's counts over KNOWN, or None."""

    path: Path
    corpus: str
    speaker: str
    emotion: str
    seconds: float
    role: str
    votes: tuple[float, ...] | None

    @property
    def target(self) -> int:
        """Index into KNOWN, or -1 for an emotion that the model does not learn (EmoDB's boredom)."""
        return KNOWN.index(self.emotion) if self.emotion in KNOWN else -1


def data_dir(argument: str | None) -> Path:
    """The folder with `speech/`: the argument, else EMOFLEET_DATA."""
    value = argument or os.environ.get("EMOFLEET_DATA")
    if not value:
        raise SystemExit("give --data DIR or set EMOFLEET_DATA to the folder that holds speech/manifest.tsv")
    root = Path(value)
    for candidate in (root / "speech", root):
        if (candidate / "manifest.tsv").is_file():
            return candidate
    raise SystemExit(f"no speech/manifest.tsv under {root}: see models/default/README.md for the corpora's homes")


def read_clips(root: Path) -> list[Clip]:
    """Every clip of the manifest in its order, duplicates dropped."""
    votes = read_votes(root / "crema_d_votes.tsv")
    clips = []
    with open(root / "manifest.tsv", newline="") as handle:
        for row in csv.DictReader(handle, delimiter="\t"):
            path = Path(row["path"])
            if path.stem in DUPLICATES:
                continue
            clips.append(
                Clip(
                    path=root / path,
                    corpus=row["corpus"],
                    speaker=row["speaker"],
                    emotion=row["emotion"],
                    seconds=float(row["seconds"]),
                    role=role_of(row["corpus"], row["speaker"]),
                    votes=votes.get(path.stem) if row["corpus"] == "crema_d" else None,
                )
            )
    return clips


def role_of(corpus: str, speaker: str) -> str:
    if speaker in TEST_SPEAKERS[corpus]:
        return "test"
    return "validation" if speaker in VALIDATION_SPEAKERS[corpus] else "train"


def read_votes(path: Path) -> dict[str, tuple[float, ...]]:
    """Crowd votes on the audio alone, by file stem, in the order of KNOWN."""
    with open(path, newline="") as handle:
        return {
            Path(row["file"]).stem: tuple(float(row[name]) for name in KNOWN)
            for row in csv.DictReader(handle, delimiter="\t")
        }


def indices(clips: list[Clip], role: str, corpus: str | None = None) -> np.ndarray:
    """Positions of the labelled clips of a role."""
    return np.array(
        [i for i, c in enumerate(clips) if c.role == role and c.target >= 0 and corpus in (None, c.corpus)], dtype=np.int64
    )
