"""The nine emotions, and how upstream's tokens.txt spells them."""

from pathlib import Path

from .errors import ExportError

# Order of the project's contract; emotion2vec+ has used the same one since 2024-06-24.
EMOTIONS = (
    "angry",
    "disgusted",
    "fearful",
    "happy",
    "neutral",
    "other",
    "sad",
    "surprised",
    "unknown",
)


def read_labels(tokens: Path) -> list[str]:
    """Labels of `tokens.txt` in output order, as the project names them.

    Upstream writes `生气/angry` and `<unk>`. Raises `ExportError` when a label is disabled or
    the order is not the contract's.
    """
    lines = [line.strip() for line in tokens.read_text(encoding="utf-8").splitlines() if line.strip()]
    disabled = [line for line in lines if line.startswith("unuse")]
    if disabled:
        raise ExportError(
            f"{tokens} disables {len(disabled)} of its labels ({', '.join(disabled)}): this is a download from before "
            "2024-06-24, with which FunASR answers fewer than nine emotions. Delete this model's folder from "
            "the hub's cache and download it again, or replace tokens.txt with the current one of the same repository."
        )
    labels = ["unknown" if line == "<unk>" else line.rsplit("/", 1)[-1].lower() for line in lines]
    if tuple(labels) != EMOTIONS:
        raise ExportError(
            f"{tokens} names {labels}, but the model contract wants {list(EMOTIONS)} in this order. "
            "Only emotion2vec_plus_large, _base and _seed have this head: check which model the folder holds."
        )
    return labels
