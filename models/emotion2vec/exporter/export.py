"""The command: checkpoint in, checked model folder out."""

import argparse
import logging
import os
import sys
import tempfile
from pathlib import Path

from .architecture import read_architecture
from .card import sha256, write_card
from .check import check_example, compare, recordings_to_check, table
from .checkpoint import Weights, locate, read_config
from .hub import OWNERS, obtain
from .labels import read_labels
from .network import write_network
from .reference import Reference
from .refusal import Refusal
from .runtime import Model


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    logging.disable(logging.WARNING)  # FunASR's notices about optional packages
    try:
        export(options)
    except Refusal as refusal:
        print(f"export refused: {refusal}", file=sys.stderr)
        return 1
    return 0


def export(options: argparse.Namespace) -> None:
    """Raises `Refusal`; model.json appears only after every check has passed, and the worker loads no folder without it."""
    files = locate(obtain(options.source, options.hub))
    labels = read_labels(files.tokens)
    config = read_config(files)
    architecture = read_architecture(config)
    weights = Weights(files.weights, config.get("scope_map") or [])
    network = write_network(architecture, weights, len(labels))
    parameters = weights.taken()

    options.out.mkdir(parents=True, exist_ok=True)
    target = options.out / "model.onnx"
    target.with_name("model.json").unlink(missing_ok=True)
    target.write_bytes(network.SerializeToString())
    del network
    print(f"wrote {target}: {parameters:,} parameters, {target.stat().st_size / 1e6:.0f} MB; left {weights.left_behind():,} training parameters behind")

    model = Model(target, options.threads)
    reference = Reference(files.folder, options.threads)
    with tempfile.TemporaryDirectory() as folder:
        recordings = recordings_to_check(options.check_audio, Path(folder))
        findings = compare(model, reference, architecture, recordings)
    findings += check_example(model, files)
    print(f"checked on {len(recordings)} recordings of {min(map(_seconds, recordings)):.3f} to {max(map(_seconds, recordings)):.1f} s, largest difference:")
    print(table(findings))
    if not files.example.is_file():
        print("  note  the folder has no example/test.wav, so the published weights' known answer was not asked for")
    if not all(finding.passed for finding in findings):
        raise Refusal(f"{target} does not answer as FunASR does (see FAIL above). No model.json was written; please report this with the table.")

    name = options.name or files.folder.resolve().name
    version = options.version or sha256(files.weights)[:12]
    print(f"wrote {write_card(target, name, version, labels, architecture, parameters, 'fp32')}")


def _seconds(recording) -> float:
    return len(recording.waveform) / 16_000


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="export.sh", description=__doc__)
    parser.add_argument("source", help="a checkpoint folder, or a name on the hub such as iic/emotion2vec_plus_large")
    parser.add_argument("--out", type=Path, required=True, help="folder for model.onnx and model.json")
    parser.add_argument("--hub", choices=sorted(OWNERS), default="modelscope", help="where to download a name from")
    parser.add_argument("--name", help="name in model.json (default: the checkpoint folder's)")
    parser.add_argument("--version", help="version in model.json (default: the first 12 digits of the SHA-256 of model.pt)")
    parser.add_argument("--check-audio", type=Path, nargs="*", default=[], metavar="FILE", help="recordings to check on, besides synthetic ones")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads for the checks")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
