"""A published model, from its name to the folder that the fleet's workers load. Called by `./run.sh model use`.

Prints that folder on stdout; everything else on stderr. What is there and right already is not made again.
"""

import argparse
import contextlib
import json
import logging
import os
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from .choice import Choice, choose, segments
from .digest import of
from .errors import ExportError
from .hub import CATALOGUE, Published, download
from .processor import BITS, Int8Form, int8_form, require_bf16, runs_here

# Formats that FunASR's own reader takes without further programs.
AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3"}


@dataclass(frozen=True)
class Request:
    """What the user asked for. `origin`: ms, hf, a checkpoint folder, or None for whichever hub answers."""

    name: str
    origin: str | None
    precision: str
    int8_bits: str
    speech: list[Path]
    models: Path
    threads: int


def main(arguments: list[str] | None = None) -> int:
    request = _parse(arguments)
    logging.disable(logging.WARNING)  # FunASR's notices about optional packages
    try:
        with contextlib.redirect_stdout(sys.stderr):
            folder = use(request)
    except ExportError as refusal:
        print(f"{request.name} can't be used: {refusal}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    print(folder)
    return 0


def use(request: Request) -> Path:
    """The folder of the exported, checked and chosen model. Raises `ExportError`."""
    published = CATALOGUE[request.name]
    int8_form(request.int8_bits)  # refused before the long work
    if request.precision == "bf16":
        require_bf16()
    home = request.models / published.repository
    checkpoint = _checkpoint(request, published, home / "checkpoint")
    exported, record = home / "exported", home / "exported" / "choice.json"
    made_of = {"checkpoint": of(_weights(checkpoint)), "exporter": _exporter()}
    known = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    speech = list(map(str, request.speech))
    if (
        known.get("made_of") != made_of
        or (speech and known.get("speech") != speech)
        or not _int8_suits(request, known)
        or (request.precision == "bf16" and not (exported / "bf16" / "model.json").is_file())
    ):
        choice, form = _export(request, published, checkpoint, home)
        known = {"made_of": made_of, "speech": speech, "int8": asdict(form), **asdict(choice)}
        _replace(home, known)
    else:
        print(f"{published.repository} is exported and checked already, in {exported}")
    precision = known["precision"] if request.precision == "auto" else request.precision
    asked = "" if request.precision == "auto" else ", as you asked"
    print(f"taking {precision}{asked}: {known['why']}")
    form = Int8Form(**known["int8"])
    if precision == "int8" and form.own_operators:
        print(
            "int8 has the worker's own operators: workers without AVX512-VNNI and AVX512-BF16 refuse it; --int8-bits 8 "
            "makes one for x86 with VNNI, --int8-bits 7 one for all"
        )
    elif precision == "int8" and form.bits == 8:
        print("int8 has 8-bit weights: workers on x86 without VNNI refuse it; --int8-bits 7 makes one for them")
    if precision == "bf16":
        print(
            "bf16 needs AVX512-BF16: workers on other processors refuse it; its figures are in comparison.md beside it"
        )
    return exported if precision == "fp32" else exported / precision


def _int8_suits(request: Request, known: dict) -> bool:
    """Whether the int8 model that is there serves: with `auto`, any that runs here."""
    if request.precision in ("fp32", "bf16"):
        return True
    made = Int8Form(**known["int8"]) if "int8" in known else None
    if request.int8_bits == "auto":
        return made is not None and runs_here(made)
    return made == int8_form(request.int8_bits)


def _checkpoint(request: Request, published: Published, folder: Path) -> Path:
    from .architecture import read_architecture
    from .checkpoint import locate, read_config

    if request.origin in (None, "ms", "hf"):
        files = locate(download(published.repository, folder, request.origin))
    else:
        if not Path(request.origin).is_dir():
            raise ExportError(f"--from must be ms, hf or a folder; {request.origin} is none of them.")
        files = locate(Path(request.origin))
    width = read_architecture(read_config(files)).width
    if width != published.width:
        others = [name for name, other in CATALOGUE.items() if other.width == width]
        hint = f"it may be {' or '.join(others)}" if others else "it is none of the published models"
        raise ExportError(f"{files.folder} holds a network {width} wide, {request.name} is {published.width}: {hint}.")
    return files.folder


def _weights(checkpoint: Path) -> Path:
    from .checkpoint import locate

    return locate(checkpoint).weights


def _exporter() -> str:
    """Changes with the code that writes the graph."""
    import hashlib

    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def _export(request: Request, published: Published, checkpoint: Path, home: Path) -> tuple[Choice, Int8Form]:
    """Into `home/exported.new`."""
    from .export import export, parse

    recordings = _readable([path for given in request.speech or _samples() for path in _recordings(given)])
    if not recordings:
        where = ", ".join(map(str, request.speech or _samples()))
        raise ExportError(f"no recordings ({', '.join(sorted(AUDIO_SUFFIXES))}) to measure on in {where}.")
    new = home / "exported.new"
    shutil.rmtree(new, ignore_errors=True)
    options = ["--name", published.repository, "--threads", str(request.threads)]
    options += ["--int8", "--int8-bits", request.int8_bits]
    options += ["--bf16"] if request.precision == "bf16" else []
    options += ["--check-audio"]
    try:
        measured = export(parse([str(checkpoint), "--out", str(new), *options, *recordings]), cut=segments)
    except OSError as refusal:
        raise ExportError(
            f"the exported model can't be written to {new}: {refusal.strerror or refusal}. Large needs 1 GB there."
        ) from refusal
    return choose(measured.fp32, measured.int8, measured.speech), measured.form


def _replace(home: Path, record: dict) -> None:
    """Puts `exported.new` in place of `exported`: what a worker may be running now is there until the last moment."""
    new, old = home / "exported.new", home / "exported.old"
    (new / "choice.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(old, ignore_errors=True)
    if (home / "exported").exists():
        (home / "exported").rename(old)
    new.rename(home / "exported")
    shutil.rmtree(old, ignore_errors=True)


def _samples() -> list[Path]:
    """The repository's samples, and the human prompts that ./run.sh puts beside the stack."""
    root = Path(__file__).resolve().parents[3]
    stack = Path(os.environ.get("EMOFLEET_STACK_DIR") or root / ".stack")
    return [folder for folder in (root / "samples", stack / "samples") if folder.is_dir()]


def _recordings(given: Path) -> list[Path]:
    if given.is_file():
        return [given]
    return sorted(path for path in given.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)


def _readable(paths: list[Path]) -> list[str]:
    from .speech import read

    readable = []
    for path in paths:
        try:
            read(path)
            readable.append(str(path))
        except Exception as failure:  # of any of FunASR's readers
            print(f"  leaving out {path}, which can't be read here: {type(failure).__name__}: {failure}")
    return readable


def _parse(arguments: list[str] | None) -> Request:
    parser = argparse.ArgumentParser(prog="./run.sh model use", description=__doc__)
    parser.add_argument("name", choices=sorted(CATALOGUE))
    parser.add_argument("--from", dest="origin", metavar="ms|hf|FOLDER", help="ModelScope, Hugging Face, or a download")
    parser.add_argument(
        "--precision",
        choices=("auto", "fp32", "int8", "bf16"),
        default="auto",
        help="auto: fp32 or int8, by measurement",
    )
    parser.add_argument(
        "--int8-bits",
        choices=("auto", *map(str, BITS)),
        default="auto",
        help="of int8's weights; auto: the fastest form that runs here",
    )
    parser.add_argument("--speech", type=Path, action="append", default=[], metavar="FOLDER", help="to measure on")
    parser.add_argument("--models", type=Path, required=True, metavar="DIR", help="where models are kept")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of the measurements")
    return Request(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
