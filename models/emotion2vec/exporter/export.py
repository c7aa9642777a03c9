"""The command: checkpoint in, checked model folder out."""

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .architecture import Architecture, read_architecture
from .card import sha256, write_card
from .check import check_example, compare, recordings_to_check, table
from .checkpoint import CheckpointFiles, Weights, locate, read_config
from .comparison import Contestant, real_speech, run
from .errors import ExportError
from .hub import obtain
from .labels import read_labels
from .network import write_network
from .operators import library
from .processor import BITS, Int8Form, int8_form, own_instructions, require_bf16
from .reference import Reference
from .runtime import Model
from .speech import SAMPLE_RATE, Recording


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    logging.disable(logging.WARNING)  # FunASR's notices about optional packages
    try:
        export(options)
    except ExportError as refusal:
        print(f"export refused: {refusal}", file=sys.stderr)
        return 1
    return 0


@dataclass(frozen=True)
class Source:
    """Everything that is read from the checkpoint."""

    files: CheckpointFiles
    labels: list[str]
    architecture: Architecture
    weights: Weights


@dataclass(frozen=True)
class Measured:
    """Scores and times of both precisions on the same speech. `form`: of int8."""

    fp32: Contestant
    int8: Contestant
    speech: list[Recording]
    form: Int8Form


def export(
    options: argparse.Namespace, cut: Callable[[list[Recording]], list[Recording]] = lambda recordings: recordings
) -> Measured | None:
    """Raises `ExportError`. Writes model.json only after all checks have passed; the worker loads no model without.

    With `--int8`, returns what was measured on the real speech, after `cut`.
    """
    folder, name = obtain(options.source, options.hub, options.out / "checkpoint")
    options.name = options.name or name
    files = locate(folder)
    labels = read_labels(files.tokens)
    # Before the long work, so that a refusal does not come after it.
    speech = cut(real_speech(options.check_audio, options.data)) if options.int8 or options.bf16 else []
    operators = _operators() if options.bf16 else None
    form = int8_form(options.int8_bits) if options.int8 else None
    if form and form.own_operators and not operators:
        form, operators = _int8_operators(form)
    config = read_config(files)
    source = Source(files, labels, read_architecture(config), Weights(files.weights, config.get("scope_map") or []))

    target = _write(source, options.out, "fp32")
    print(f"left {source.weights.left_behind():,} training parameters behind")
    model, reference = Model(target, options.threads), Reference(files.folder, options.threads)
    _check(source, model, reference, options)
    _describe(source, target, options, "fp32")

    if not (options.int8 or options.bf16):
        return None
    measured = {"FunASR": Contestant("FunASR", reference.score), "fp32": _contestant("fp32", model)}
    written = {}
    if options.int8:
        written["int8"] = _write(source, options.out / "int8", "int8", form)
        needed = operators if form.own_operators else None
        measured["int8"] = _contestant("int8", Model(written["int8"], options.threads, operators=needed))
    if options.bf16:
        written["bf16"] = _write(source, options.out / "bf16", "bf16")
        measured["bf16"] = _contestant("bf16", Model(written["bf16"], options.threads, operators=operators))
    comparison = run(list(measured.values()), speech)
    comparison += f"\n\nint8: {_described(form)}." if form else ""
    print(f"\n{comparison}\n")
    for precision, target in written.items():
        target.with_name("comparison.md").write_text(comparison + "\n", encoding="utf-8")
        _describe(source, target, options, precision, form if precision == "int8" else None)
    return Measured(measured["fp32"], measured["int8"], speech, form) if options.int8 else None


def _contestant(name: str, model: Model) -> Contestant:
    return Contestant(name, lambda waveform: model.run([waveform]).scores[0])


def _operators() -> Path:
    require_bf16()
    return library()


def _int8_operators(form: Int8Form) -> tuple[Int8Form, Path | None]:
    """The library to measure with; where there is none, int8 is written with ONNX Runtime's operators."""
    try:
        return form, library()
    except ExportError as refusal:
        print(f"int8 is written with ONNX Runtime's operators, which are slower here: {refusal}")
        return Int8Form(form.bits), None


def _described(form: Int8Form) -> str:
    return f"{form.bits}-bit weights" + (", the worker's own operators" if form.own_operators else "")


def _write(source: Source, folder: Path, precision: str, form: Int8Form | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "model.onnx"
    target.with_name("model.json").unlink(missing_ok=True)
    network = write_network(source.architecture, source.weights, len(source.labels), precision, form)
    target.write_bytes(network.SerializeToString())
    described = f"{precision} with {_described(form)}" if form else precision
    print(f"wrote {target}: {source.weights.taken():,} parameters, {described}, {target.stat().st_size / 1e6:.0f} MB")
    return target


def _check(source: Source, model: Model, reference: Reference, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        recordings = recordings_to_check(options.check_audio, Path(folder))
        findings = compare(model, reference, recordings)
    findings += check_example(model, source.files)
    seconds = [len(recording.waveform) / SAMPLE_RATE for recording in recordings]
    print(f"checked on {len(recordings)} recordings of {min(seconds):.3f} to {max(seconds):.1f} s, largest difference:")
    print(table(findings))
    if not source.files.example.is_file():
        print("  note  the folder has no example/test.wav, so the published weights' known answer was not asked for")
    if not all(finding.passed for finding in findings):
        raise ExportError(
            "the exported model does not answer as FunASR does (see FAIL above). "
            "No model.json was written; please report this with the table."
        )


def _describe(
    source: Source, target: Path, options: argparse.Namespace, precision: str, form: Int8Form | None = None
) -> None:
    name = options.name
    version = options.version or sha256(source.files.weights)[:12]
    name = name if precision == "fp32" else f"{name}_{precision}"
    parameters = source.weights.taken()
    card = write_card(
        target,
        name,
        version,
        source.labels,
        source.architecture,
        parameters,
        precision,
        form.bits if form else None,
        own_instructions(precision, form),
    )
    print(f"wrote {card}")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="export.sh", description=__doc__)
    parser.add_argument("source", help="a checkpoint folder, or a name on the hub such as iic/emotion2vec_plus_large")
    parser.add_argument("--out", type=Path, required=True, help="folder for model.onnx and model.json")
    parser.add_argument(
        "--hub",
        choices=("ms", "hf"),
        type=lambda text: {"modelscope": "ms", "huggingface": "hf"}.get(text, text),
        help="where to download a name from (default: ModelScope, then Hugging Face)",
    )
    parser.add_argument("--name", help="name in model.json (default: the checkpoint folder's)")
    parser.add_argument(
        "--version", help="version in model.json (default: the first 12 digits of the SHA-256 of model.pt)"
    )
    parser.add_argument(
        "--check-audio",
        type=Path,
        nargs="*",
        default=[],
        metavar="FILE",
        help="recordings to check on, besides synthetic ones",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="also write OUT/int8, with a table of its speed and agreement on real speech",
    )
    parser.add_argument(
        "--bf16",
        action="store_true",
        help="also write OUT/bf16, for processors with AVX512-BF16, with the same table",
    )
    parser.add_argument(
        "--int8-bits",
        choices=("auto", *map(str, BITS)),
        help="bits of int8's weights: 8 is closer to fp32, but needs VNNI on x86, here and where workers run; 7 runs "
        "anywhere (default auto: 8 where this processor can, with the worker's own operators where it has AVX512-VNNI "
        "and AVX512-BF16)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("EMOFLEET_DATA"),
        metavar="DIR",
        help="folder of real speech for --int8 and --bf16 (default: EMOFLEET_DATA)",
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads for the checks")
    options = parser.parse_args(arguments)
    if options.int8_bits and not options.int8:
        parser.error("--int8-bits is for the quantised model: add --int8")
    options.int8_bits = options.int8_bits or "auto"
    return options


if __name__ == "__main__":
    sys.exit(main())
