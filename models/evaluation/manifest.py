"""The table of recordings and labels."""

import csv
from dataclasses import dataclass
from pathlib import Path

from . import LABELS, ORDINARY


@dataclass(frozen=True)
class Recording:
    """A file, its label (one of LABELS, or ORDINARY) and the group whose figures it is part of."""

    path: Path
    label: str
    group: str


def read(path: Path) -> list[Recording]:
    """The recordings of a manifest; stops with one sentence when it is not one."""
    with open(path, newline="", encoding="utf-8-sig") as handle:
        rows = csv.DictReader(handle, delimiter="," if path.suffix == ".csv" else "\t")
        columns = rows.fieldnames or []
        if "path" not in columns or "emotion" not in columns:
            raise SystemExit(f"{path}: columns `path` and `emotion` are needed; found: {', '.join(columns) or 'none'}")
        return [recording(path, number, row) for number, row in enumerate(rows, 2)]


def recording(manifest: Path, line: int, row: dict[str, str]) -> Recording:
    label = (row["emotion"] or ORDINARY).strip().lower()
    if label not in (*LABELS, ORDINARY):
        raise SystemExit(f"{manifest}:{line}: `{label}` is no label; use one of {', '.join(LABELS)}, or {ORDINARY}")
    file = manifest.parent / row["path"]
    if not file.is_file():
        raise SystemExit(f"{manifest}:{line}: {file} is not there")
    return Recording(file, label, row.get("group") or row.get("corpus") or "all")
