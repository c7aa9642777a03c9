"""How near each precision comes to this processor's limit: `./models/emotion2vec/limits.sh`.

The limit is the best matrix product alone, of the shapes of the network's linear layers and of a square: ONNX Runtime's
MatMul in fp32 and MatMulInteger in int8, and the worker's own operator in bf16. It is measured on
one core, and on all by as many callers of one thread, as a worker has. The share is that of the operations of all the
network's products, which are counted from its shapes, over the model's time and the limit: what it spends on anything
else counts as lost.
"""

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np
import onnxruntime
from exporter.architecture import Architecture, read_architecture
from exporter.bf16 import PAIR
from exporter.checkpoint import locate, read_config
from exporter.errors import ExportError
from exporter.operators import library
from exporter.own_linear import DOMAIN
from exporter.panels import panels
from exporter.processor import has_bf16
from exporter.runtime import Model
from exporter.speech import SAMPLE_RATE, synthesise
from onnx import TensorProto, helper, numpy_helper
from soundfile import read as read_wave

from measure.random_models import SIZES, needs_operators, random_models

# Of the left operand; the graph's chunks have at most 256. Padded columns as in the fp32 graph, see exporter/linear.py.
ROWS = (256, 1024)
INNER = (1024, 1040, 4096, 4112, 2048)
OUTER = (1024, 4096, 2048)
PIECE_S = 0.2


@dataclass(frozen=True)
class Operations:
    """Of one recording, by part of the network, in GFLOP: two for each product of two numbers."""

    linear: float
    convolutions: float
    attention: float
    positions: float

    @property
    def total(self) -> float:
        return self.linear + self.convolutions + self.attention + self.positions


def operations(architecture: Architecture, samples: int) -> Operations:
    """Counted from the shapes: linear layers and attention also have the extra tokens."""
    frames, channels, convolutions = samples, 1, 0
    for layer in architecture.convolutions:
        frames = (frames - layer.kernel) // layer.stride + 1
        convolutions += frames * layer.kernel * channels * layer.channels
        channels = layer.channels
    width, tokens = architecture.width, frames + architecture.extra_tokens
    blocks = tokens * (4 * width * width + 2 * width * architecture.mlp_width) * architecture.blocks
    projection = frames * channels * width
    attention = 2 * tokens * tokens * width * architecture.blocks
    positions = architecture.position_layers * frames * architecture.position_kernel * width * width
    counts = (blocks + projection, convolutions, attention, positions / architecture.position_groups)
    return Operations(*(2e-9 * count for count in counts))


def product(kind: str, inner: int, outer: int, operators: Path | None) -> onnxruntime.InferenceSession:
    """A session with one product of a value [rows, inner] and a constant [inner, outer]."""
    source = np.random.default_rng(0)
    weight = source.normal(0, 0.05, (inner, outer)).astype(np.float32)
    value, result = TensorProto.FLOAT, TensorProto.FLOAT
    match kind:
        case "fp32":
            node, constants = helper.make_node("MatMul", ["value", "weight"], ["result"]), {"weight": weight}
        case "int8":
            value, result = TensorProto.UINT8, TensorProto.INT32
            node = helper.make_node("MatMulInteger", ["value", "weight", "zero"], ["result"])
            levels = source.integers(-127, 128, (inner, outer)).astype(np.int8)
            constants = {"weight": levels, "zero": np.array(128, dtype=np.uint8)}
        case _:
            node = helper.make_node("Bf16Linear", ["value", "weight", "bias"], ["result"], domain=DOMAIN)
            bits = panels(weight.astype(ml_dtypes.bfloat16), PAIR).view(np.uint16)
            constants = {"weight": bits, "bias": np.zeros(outer, dtype=np.float32)}
    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("value", value, ["rows", inner])],
        [helper.make_tensor_value_info("result", result, ["rows", outer])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if kind == "bf16":
        options.register_custom_ops_library(str(operators))
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def rate(session: onnxruntime.InferenceSession, kind: str, shape: tuple[int, int, int], callers: int) -> float:
    """GFLOP/s of all callers together, each with a value of its own."""
    rows, inner, outer = shape
    source = np.random.default_rng(1)
    if kind == "int8":
        values = [source.integers(0, 256, (rows, inner)).astype(np.uint8) for _ in range(callers)]
    else:
        values = [source.normal(0, 1, (rows, inner)).astype(np.float32) for _ in range(callers)]

    def call(value: np.ndarray) -> int:
        until, count = time.perf_counter() + PIECE_S, 0
        while time.perf_counter() < until:
            session.run(None, {"value": value})
            count += 1
        return count

    for value in values:
        session.run(None, {"value": value})
    with ThreadPoolExecutor(callers) as pool:
        begun = time.perf_counter()
        count = sum(pool.map(call, values))
        return 2e-9 * count * rows * inner * outer / (time.perf_counter() - begun)


def best(kind: str, callers: list[int], operators: Path | None, turns: int) -> dict[tuple[str, int], float]:
    """The highest rate for each number of callers, over all shapes and turns."""
    found = {(kind, count): 0.0 for count in callers}
    for inner, outer in [(inner, outer) for inner in INNER for outer in OUTER if inner < 2048 or outer < 4096]:
        session = product(kind, inner, outer, operators)
        for rows, count in [(rows, count) for _ in range(turns) for rows in ROWS for count in callers]:
            reached = rate(session, kind, (rows, inner, outer), count)
            found[kind, count] = max(found[kind, count], reached)
    return found


def seconds(model: Model, waveform: np.ndarray, callers: int, turns: int) -> float:
    """Wall seconds for each recording when so many callers are busy: the median."""
    times = []
    with ThreadPoolExecutor(callers) as pool:
        for turn in range(turns + 1):
            begun = time.perf_counter()
            list(pool.map(model.embed, [waveform] * callers))
            if turn:
                times.append((time.perf_counter() - begun) / callers)
    return float(np.median(times))


def peaks_table(peaks: dict[tuple[str, int], float]) -> str:
    """Markdown: the best products, and what a core of all has of one alone."""
    lines = ["| products alone | callers | GFLOP/s | a core |", "|---|---|---|---|"]
    for (kind, callers), found in peaks.items():
        lines.append(f"| {kind} | {callers} | {found:.0f} | {found / callers:.0f} |")
    return "\n".join(lines)


def models_table(
    architecture: Architecture, times: dict[tuple[str, int, int], float], peaks: dict[tuple[str, int], float]
) -> str:
    """Markdown. `times`: seconds a recording by precision, length in seconds and callers."""
    lines = ["| model | audio | callers | ms a recording | GFLOP/s | of the limit |", "|---|---|---|---|---|---|"]
    for (kind, length, callers), took in times.items():
        reached = operations(architecture, length * SAMPLE_RATE).total / took
        share = reached / peaks[kind, callers]
        lines.append(f"| {kind} | {length} s | {callers} | {1e3 * took:.0f} | {reached:.0f} | {share:.0%} |")
    return "\n".join(lines)


def operations_table(architecture: Architecture, lengths: list[int]) -> str:
    """Markdown: GFLOP of one recording of each length, by part."""
    lines = [
        "| audio | GFLOP | linear layers | front end | attention | positional convolution |",
        "|---|---|---|---|---|---|",
    ]
    for length in lengths:
        count = operations(architecture, length * SAMPLE_RATE)
        parts = (count.total, count.linear, count.convolutions, count.attention, count.positions)
        lines.append(f"| {length} s | " + " | ".join(f"{part:.1f}" for part in parts) + " |")
    return "\n".join(lines)


def _operators(folders: dict[str, Path]) -> Path | None:
    """The worker's operators; without them, the models that need them leave `folders`."""
    why = "this processor has no AVX512-BF16"
    if has_bf16():
        try:
            return library()
        except ExportError as refusal:
            why = str(refusal)
    for kind in [kind for kind, folder in folders.items() if needs_operators(folder)]:
        folders.pop(kind)
        print(f"{kind} is left out: {why}", file=sys.stderr)
    return None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="limits.sh", description=__doc__)
    parser.add_argument(
        "--models", type=Path, metavar="DIR", help="what random_models.sh made, or makes here (default: scratch)"
    )
    parser.add_argument("--size", choices=SIZES, default="large", help="of the random weights")
    parser.add_argument("--seconds", type=int, nargs="+", default=[3, 10, 30], metavar="N", help="default 3 10 30")
    parser.add_argument("--turns", type=int, default=3, metavar="N", help="of models and products (default 3)")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), metavar="N", help="callers at the same time")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="for 1.9 GB of models (default: the system's)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        scratch = Path(folder)
        models = options.models or scratch
        folders = random_models(models, options.size)
        architecture = read_architecture(read_config(locate(models / "checkpoint")))
        callers = list(dict.fromkeys([1, options.cores]))
        operators = _operators(folders)
        waveform, _ = read_wave(synthesise(scratch, [max(options.seconds)])[0], dtype="float32")
        times, peaks = {}, {}
        for kind, model_folder in folders.items():
            needed = operators if needs_operators(model_folder) else None
            model = Model(model_folder / "model.onnx", 1, operators=needed)
            # Beside the model's own times, so that both had the same machine.
            peaks |= best(kind, callers, operators, options.turns)
            for length in options.seconds:
                for count in callers:
                    piece = waveform[: length * SAMPLE_RATE]
                    times[kind, length, count] = seconds(model, piece, count, options.turns)
    print(f"{options.size}, {options.cores} cores, load {os.getloadavg()[0]:.1f}\n")
    print(operations_table(architecture, options.seconds), peaks_table(peaks), sep="\n\n")
    print(f"\n{models_table(architecture, times, peaks)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
