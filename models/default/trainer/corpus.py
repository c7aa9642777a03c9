"""The recordings of all corpora and their split by speaker.

Three roles: `train` teaches, `validation` is kept for choices between recipes, `test` is scored by evaluate.py. No
speaker has two. The addition to angry, `unknown` (calibrate.py) and the advised threshold (advise.py) are chosen on
`test`, too.
"""

import csv
import os
from dataclasses import dataclass
from pathlib import Path

from .labels import KNOWN

# Same audio under two labels: neither label can be trusted, so both files go.
DUPLICATES = {
    "1006_TIE_HAP_XX",
    "1006_TIE_NEU_XX",
    "1013_WSI_DIS_XX",
    "1013_WSI_SAD_XX",
    "1017_IWW_ANG_XX",
    "1017_IWW_FEA_XX",
}
TEST_SPEAKERS = {"crema_d": {str(n) for n in range(1076, 1092)}, "emodb": {"15", "16"}, "aishell": {"S0252"}}
VALIDATION_SPEAKERS = {"crema_d": {str(n) for n in range(1004, 1076, 8)}, "emodb": {"14"}}
# ShareAlike recordings teach nothing, so that nobody need ask what that licence means for a model; they are a test.
SHARE_ALIKE = {"asterisk_core", "fsdd", "audio_cmn"}
ACTED = ("crema_d", "emodb", "banglaser", "indowave")


@dataclass(frozen=True)
class Clip:
    """One recording. `emotion` is what the actor intended, or `ordinary` where nobody acts and nobody labelled."""

    path: Path
    corpus: str
    speaker: str
    emotion: str
    seconds: float
    role: str
    kind: str
    channel: int = 0

    @property
    def target(self) -> int:
        """Index into KNOWN, or -1: ordinary speech, and emotions that the model does not learn."""
        return KNOWN.index(self.emotion) if self.emotion in KNOWN else -1

    @property
    def ordinary(self) -> bool:
        return self.emotion == "ordinary"


def data_dir(argument: str | None) -> Path:
    """The folder with `speech/`, `speech2/` and `speech3/`: the argument, else EMOFLEET_DATA."""
    value = argument or os.environ.get("EMOFLEET_DATA")
    if not value:
        raise SystemExit("give --data DIR or set EMOFLEET_DATA to the folder that holds speech/manifest.tsv")
    root = Path(value)
    for name in ("speech", "speech2", "speech3"):
        if not (root / name / "manifest.tsv").is_file():
            raise SystemExit(
                f"no {name}/manifest.tsv under {root}: see models/default/README.md for the corpora's homes"
            )
    return root


def read_clips(root: Path) -> list[Clip]:
    """Every recording of the three manifests in their order, duplicates dropped."""
    clips = []
    for folder in ("speech", "speech2", "speech3"):
        with open(root / folder / "manifest.tsv", newline="") as handle:
            for row in csv.DictReader(handle, delimiter="\t"):
                if Path(row["path"]).stem not in DUPLICATES:
                    clips.append(clip_of(root / folder, row))
    return clips + calls(root / "calls")


def calls(folder: Path) -> list[Clip]:
    """Both channels of two-channel telephone calls, where there are any: a test of false alarms, without labels."""
    return [
        Clip(path, "calls", f"{path.stem}_{channel}", "ordinary", 0.0, "test", "telephone", channel)
        for path in sorted(folder.glob("*.flac"))
        for channel in (0, 1)
    ]


def clip_of(folder: Path, row: dict[str, str]) -> Clip:
    emotion = row.get("emotion", "ordinary")
    if row["corpus"] == "aishell":
        emotion = "ordinary"
    return Clip(
        path=folder / row["path"],
        corpus=row["corpus"],
        speaker=row["speaker"],
        emotion=emotion,
        seconds=float(row["seconds"]),
        role=role_of(row),
        kind=row.get("kind", "read" if emotion == "ordinary" else "acted"),
    )


def role_of(row: dict[str, str]) -> str:
    corpus, speaker = row["corpus"], row["speaker"]
    if corpus in SHARE_ALIKE or row.get("split") == "test" or speaker in TEST_SPEAKERS.get(corpus, ()):
        return "test"
    if speaker in VALIDATION_SPEAKERS.get(corpus, ()):
        return "validation"
    return "train"
