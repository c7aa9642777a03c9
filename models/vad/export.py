"""Rewrites Silero's voice activity network so that one run covers many chunks: export.py SOURCE TARGET

SOURCE is `silero_vad.onnx` of the PyPI package silero-vad (MIT licence). Its graph takes one chunk of 32 ms a run, for
8 and 16 kHz, with the recurrent cell inside. TARGET holds the same 16 kHz weights as one plain graph:

    input   magnitudes   f32 [steps, tracks, 4, 129]  of each chunk's four windows, see README.md
    input   hidden       f32 [1, tracks, 128]         zeros at a track's beginning, then `next_hidden` of the last run
    input   cell         f32 [1, tracks, 128]         the same, with `next_cell`
    output  probability  f32 [steps, tracks]          that the chunk is speech
    output  next_hidden, next_cell

Silero's Fourier transform, a product with a matrix in SOURCE, is not in TARGET: the caller does it, as a fast one. The
encoder runs over all chunks at once; only the recurrent cell goes from step to step. `tests/test_vad.py` compares the
output with that of SOURCE.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WINDOWS = 4
WINDOW = 256
BINS = 129
HIDDEN = 128
BRANCH = "If_0_then_branch__Inline_0__"


def weights(source: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The constants of the 16 kHz branch, by the names that Silero's authors gave them."""
    branch = next(node for node in source.graph.node if node.op_type == "If")
    graph = next(attribute.g for attribute in branch.attribute if attribute.name == "then_branch")
    found = {}
    for node in graph.node:
        if node.op_type == "Constant":
            name = node.output[0].removeprefix(BRANCH)
            found[name] = numpy_helper.to_array(node.attribute[0].t)
    return found


def reordered(matrix: np.ndarray) -> np.ndarray:
    """Gates in ONNX's order (input, output, forget, cell) instead of PyTorch's (input, forget, cell, output)."""
    gate_i, gate_f, gate_c, gate_o = np.split(matrix, 4)
    return np.concatenate([gate_i, gate_o, gate_f, gate_c])


def check_transform(basis: np.ndarray) -> None:
    """Refuses a source whose Fourier transform is another than the caller's: a periodic Hann window of 256 samples."""
    n = np.arange(WINDOW)
    angles = 2 * np.pi * np.outer(np.arange(BINS), n) / WINDOW
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / WINDOW)
    expected = np.concatenate([np.cos(angles) * hann, -np.sin(angles) * hann])
    if basis.shape != expected.shape or np.abs(basis - expected).max() > 1e-6:
        sys.exit("SOURCE has another Fourier transform: change the caller's (crates/speech/src/audio/vad/spectrum.rs)")


def product(source: str, matrix: str, addend: str, to: str) -> onnx.NodeProto:
    """`to = source @ matrix + addend`"""
    return helper.make_node("Gemm", [source, matrix, addend], [to])


def relu(name: str) -> onnx.NodeProto:
    """`<name>.relu`. ONNX Runtime does it in the product before."""
    return helper.make_node("Relu", [name], [f"{name}.relu"])


def encoder(tensors: dict[str, np.ndarray], w: dict[str, np.ndarray]) -> list[onnx.NodeProto]:
    """`layer3.relu` [chunks, 128]: the four convolutions over time (3 wide) as matrix products over all chunks.

    Four windows become four, two, one and one. What lies beyond the ends is zero, so those taps are left out.
    """

    def matrix(layer: int, first: int, last: int) -> str:
        """The taps from `first` to `last` of a layer, one below the other."""
        name = f"layer{layer}.taps{first}-{last}"
        taps = w[f"encoder.{layer}.reparam_conv.weight"].transpose(2, 1, 0)  # [tap, in, out]
        tensors[name] = np.concatenate(taps[first : last + 1])
        return name

    for layer in range(4):
        tensors[f"layer{layer}.bias"] = w[f"encoder.{layer}.reparam_conv.bias"]
    tensors["flat"] = np.array([-1, WINDOWS * BINS], np.int64)
    tensors["columns"] = np.array([1], np.int64)
    nodes = [helper.make_node("Reshape", ["magnitudes", "flat"], ["windows"])]
    for at in range(WINDOWS):
        first, last = max(at - 1, 0), min(at + 1, WINDOWS - 1)
        begin, end = f"begin{at}", f"end{at}"
        tensors[begin], tensors[end] = np.array([first * BINS], np.int64), np.array([(last + 1) * BINS], np.int64)
        nodes.append(helper.make_node("Slice", ["windows", begin, end, "columns"], [f"neighbours{at}"]))
        taps = matrix(0, first - at + 1, last - at + 1)
        nodes += [product(f"neighbours{at}", taps, "layer0.bias", f"layer0.{at}"), relu(f"layer0.{at}")]

    def summed(layer: int, parts: list[tuple[str, int]], to: str) -> None:
        """`<to>.relu`: the sum of the products of each part with the tap of this number. No part is copied for it."""
        addend = f"layer{layer}.bias"
        for number, (part, tap) in enumerate(parts):
            result = to if number == len(parts) - 1 else f"{to}.sum{number}"
            nodes.append(product(f"{part}.relu", matrix(layer, tap, tap), addend, result))
            addend = result
        nodes.append(relu(to))

    summed(1, [("layer0.0", 1), ("layer0.1", 2)], "layer1.0")
    summed(1, [("layer0.1", 0), ("layer0.2", 1), ("layer0.3", 2)], "layer1.1")
    summed(2, [("layer1.0", 1), ("layer1.1", 2)], "layer2")
    summed(3, [("layer2", 1)], "layer3")
    return nodes


def rewrite(source: onnx.ModelProto) -> onnx.ModelProto:
    """The network over [steps, tracks] chunks, with the weights of `source`."""
    w = weights(source)
    check_transform(w["stft.forward_basis_buffer"][:, 0])
    tensors: dict[str, np.ndarray] = {
        "rnn.w": reordered(w["decoder.rnn.weight_ih"])[None],
        "rnn.r": reordered(w["decoder.rnn.weight_hh"])[None],
        "rnn.b": np.concatenate([reordered(w["decoder.rnn.bias_ih"]), reordered(w["decoder.rnn.bias_hh"])])[None],
        "head.w": w["decoder.decoder.2.weight"].reshape(1, HIDDEN).T,
        "head.b": w["decoder.decoder.2.bias"],
        "width": np.array([HIDDEN], np.int64),
        "directions": np.array([1], np.int64),
        "last": np.array([2], np.int64),
    }
    nodes = [
        *encoder(tensors, w),
        helper.make_node("Shape", ["magnitudes"], ["outer"], start=0, end=2),
        helper.make_node("Concat", ["outer", "width"], ["sequence_shape"], axis=0),
        helper.make_node("Reshape", ["layer3.relu", "sequence_shape"], ["sequence"]),
        helper.make_node(
            "LSTM",
            ["sequence", "rnn.w", "rnn.r", "rnn.b", "", "hidden", "cell"],
            ["all_hidden", "next_hidden", "next_cell"],
            hidden_size=HIDDEN,
        ),
        helper.make_node("Squeeze", ["all_hidden", "directions"], ["outputs"]),
        helper.make_node("Relu", ["outputs"], ["active"]),
        helper.make_node("MatMul", ["active", "head.w"], ["product"]),
        helper.make_node("Add", ["product", "head.b"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["sure"]),
        helper.make_node("Squeeze", ["sure", "last"], ["probability"]),
    ]
    value = helper.make_tensor_value_info
    state = [1, "tracks", HIDDEN]
    graph = helper.make_graph(
        nodes,
        "silero_vad_blocks",
        [
            value("magnitudes", TensorProto.FLOAT, ["steps", "tracks", WINDOWS, BINS]),
            value("hidden", TensorProto.FLOAT, state),
            value("cell", TensorProto.FLOAT, state),
        ],
        [
            value("probability", TensorProto.FLOAT, ["steps", "tracks"]),
            value("next_hidden", TensorProto.FLOAT, state),
            value("next_cell", TensorProto.FLOAT, state),
        ],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="emofleet")
    model.ir_version = 8
    model.doc_string = "Silero VAD (MIT licence, Silero Team), 16 kHz weights, rewritten for blocks of chunks"
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    onnx.save(rewrite(onnx.load(sys.argv[1])), sys.argv[2])
    print(f"{sys.argv[2]}: {Path(sys.argv[2]).stat().st_size} bytes")
