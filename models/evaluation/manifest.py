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
    try:
        with open(path, newline="", encoding="utf-8-sig") as handle:
            rows = csv.DictReader(handle, delimiter="," if path.suffix == ".csv" else "\t")
            columns = rows.fieldnames or []
            if "path" not in columns or "emotion" not in columns:
                listed = ", ".join(columns) or "none"
                raise SystemExit(f"{path}: columns `path` and `emotion` are needed; found: {listed}")
            found = [recording(path, rows.line_num, row) for row in rows]
    except OSError as error:
        raise SystemExit(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SystemExit(f'{path} is not UTF-8: save it as UTF-8 (in Excel, "CSV UTF-8")') from None
    except csv.Error as error:
        raise SystemExit(f"{path} is no table: {error}") from None
    if not found:
        raise SystemExit(f"{path} names no recordings")
    return found


def recording(manifest: Path, line: int, row: dict[str, str | None]) -> Recording:
    """A row; its missing columns are None."""
    label = (row["emotion"] or ORDINARY).strip().lower()
    if label not in (*LABELS, ORDINARY):
        raise SystemExit(f"{manifest}:{line}: `{label}` is no label; use one of {', '.join(LABELS)}, or {ORDINARY}")
    if not row["path"]:
        raise SystemExit(f"{manifest}:{line}: the column `path` is empty")
    file = manifest.parent / row["path"]
    if not file.is_file():
        raise SystemExit(f"{manifest}:{line}: {file} is not there")
    return Recording(file, label, row.get("group") or row.get("corpus") or "all")
