"""A model folder of each precision with random weights, which is as fast as a trained one: for measurements.

`./models/emotion2vec/random_models.sh OUT` writes OUT/checkpoint, in FunASR's layout, and OUT/fp32, OUT/int8 and
OUT/bf16 as workers load them. Nothing is compared with FunASR; `export.sh OUT/checkpoint` does that.
"""

import argparse
import contextlib
import io
import json
import sys
from pathlib import Path

from exporter.architecture import read_architecture
from exporter.card import write_card
from exporter.checkpoint import Weights, locate, read_config
from exporter.labels import read_labels
from exporter.network import PRECISIONS, write_network
from exporter.processor import int8_form, own_instructions

SIZES = ("large", "base", "narrow")


def random_checkpoint(folder: Path, size: str) -> Path:
    """Writes a checkpoint in FunASR's layout into `folder` and returns it."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import random_checkpoint as layouts

    print(f"building a checkpoint with random weights: {size}", file=sys.stderr)
    with contextlib.redirect_stdout(io.StringIO()):
        return layouts.build(folder, getattr(layouts, size.upper()))


def random_models(folder: Path, size: str) -> dict[str, Path]:
    """Makes what is missing in `folder`; the model folder of each precision."""
    checkpoint = folder / "checkpoint"
    if not (checkpoint / "tokens.txt").is_file():  # the file that is written last
        random_checkpoint(checkpoint, size)
    files = locate(checkpoint)
    config, labels = read_config(files), read_labels(files.tokens)
    architecture = read_architecture(config)
    found = {}
    for precision in PRECISIONS:
        found[precision] = folder / precision
        if (folder / precision / "model.json").is_file():
            continue
        weights = Weights(files.weights, config.get("scope_map") or [])
        form = int8_form("auto") if precision == "int8" else None
        network = write_network(architecture, weights, len(labels), precision, form)
        found[precision].mkdir(parents=True, exist_ok=True)
        graph = found[precision] / "model.onnx"
        graph.write_bytes(network.SerializeToString())
        name, bits = f"random_{size}_{precision}", form.bits if form else None
        needed = own_instructions(precision, form)
        write_card(graph, name, "1", labels, architecture, weights.taken(), precision, bits, needed)
    return found


def needs_operators(folder: Path) -> bool:
    """Whether the model in `folder` has operators of the worker's own, without which ONNX Runtime can't run it."""
    return bool(json.loads((folder / "model.json").read_text()).get("operators"))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="random_models.sh", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder; large takes 1.9 GB")
    parser.add_argument("--size", choices=SIZES, default="large")
    options = parser.parse_args(arguments)
    for folder in random_models(options.out, options.size).values():
        print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
