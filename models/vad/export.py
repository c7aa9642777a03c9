"""Rewrites Silero's voice activity network so that one run covers many chunks: export.py SOURCE TARGET

SOURCE is `silero_vad.onnx` of the PyPI package silero-vad (MIT licence). Its graph takes one chunk of 32 ms a run, for
8 and 16 kHz, with the recurrent cell inside. TARGET holds the same 16 kHz weights as one plain graph:

    input   chunks       f32 [steps, tracks, 576]  64 samples of the chunk before, then 512 samples, 16 kHz
    input   state        f32 [2, tracks, 128]      zeros at the beginning of a track, then `next_state` of the last run
    output  probability  f32 [steps, tracks]       that the chunk is speech
    output  next_state   f32 [2, tracks, 128]

The encoder runs over all chunks at once; only the recurrent cell goes from step to step. `tests/test_vad.py` compares
the output with that of SOURCE.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHUNK = 576
HIDDEN = 128
BINS = 129
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


def constant(tensors: dict[str, np.ndarray], name: str, values: list[int]) -> str:
    """Adds a vector of integers to the graph's tensors; its name."""
    tensors[name] = np.array(values, np.int64)
    return name


def sliced(source: str, start: int, end: int, step: int, target: str) -> onnx.NodeProto:
    """`source[:, start:end:step]`"""
    return helper.make_node("Slice", [source, f"int.{start}", f"int.{end}", "int.1", f"int.{step}"], [target])


def dense(tensors: dict[str, np.ndarray], number: int, matrix: np.ndarray, bias: np.ndarray) -> list[onnx.NodeProto]:
    """`layer<number + 1> = relu(rows<number> @ matrix + bias)`"""
    tensors[f"{number}.w"], tensors[f"{number}.b"] = matrix, bias
    return [
        helper.make_node("MatMul", [f"rows{number}", f"{number}.w"], [f"product{number}"]),
        helper.make_node("Add", [f"product{number}", f"{number}.b"], [f"sum{number}"]),
        helper.make_node("Relu", [f"sum{number}"], [f"layer{number + 1}"]),
    ]


def spectrum(tensors: dict[str, np.ndarray]) -> list[onnx.NodeProto]:
    """`layer0` [chunks, 4, 129]: magnitudes of four windows of 256 samples, 128 apart, the end reflected."""
    flat, hops = constant(tensors, "flat", [-1, CHUNK]), constant(tensors, "hops", [-1, 5, 128])
    pads, bins = constant(tensors, "reflect", [0, 0, 0, 64]), constant(tensors, "bins", [BINS, BINS])
    return [
        helper.make_node("Reshape", ["chunks", flat], ["samples"]),
        helper.make_node("Pad", ["samples", pads], ["reflected"], mode="reflect"),
        helper.make_node("Reshape", ["reflected", hops], ["halves_of_windows"]),
        sliced("halves_of_windows", 0, 4, 1, "first_halves"),
        sliced("halves_of_windows", 1, 5, 1, "second_halves"),
        helper.make_node("Concat", ["first_halves", "second_halves"], ["windows"], axis=2),
        helper.make_node("MatMul", ["windows", "basis"], ["transform"]),
        helper.make_node("Mul", ["transform", "transform"], ["squares"]),
        helper.make_node("Split", ["squares", bins], ["real", "imaginary"], axis=2),
        helper.make_node("Add", ["real", "imaginary"], ["power"]),
        helper.make_node("Sqrt", ["power"], ["layer0"]),
    ]


def encoder(tensors: dict[str, np.ndarray], w: dict[str, np.ndarray]) -> list[onnx.NodeProto]:
    """`encoded` [chunks, 1, 128]: the four convolutions over time (3 wide) as matrix products over all chunks.

    Four windows become four, two, one and one: what lies beyond the ends is zero, so those taps are left out.
    """

    def taps(number: int) -> tuple[np.ndarray, np.ndarray]:
        name = f"encoder.{number}.reparam_conv"
        return w[f"{name}.weight"].transpose(2, 1, 0), w[f"{name}.bias"]  # [tap, in, out]

    ends = constant(tensors, "ends", [0, 1, 0, 0, 1, 0])
    nodes = []
    for number, step in ((0, 1), (1, 2)):
        matrix, bias = taps(number)
        parts = [f"tap{number}.{tap}" for tap in range(3)]
        nodes.append(helper.make_node("Pad", [f"layer{number}", ends], [f"padded{number}"]))
        nodes += [sliced(f"padded{number}", tap, tap + 4, step, part) for tap, part in enumerate(parts)]
        nodes.append(helper.make_node("Concat", parts, [f"rows{number}"], axis=2))
        nodes += dense(tensors, number, matrix.reshape(-1, matrix.shape[2]), bias)
    matrix, bias = taps(2)
    pair = constant(tensors, "pair", [-1, 1, 2 * matrix.shape[1]])
    nodes.append(helper.make_node("Reshape", ["layer2", pair], ["rows2"]))
    nodes += dense(tensors, 2, matrix[1:].reshape(-1, matrix.shape[2]), bias)
    matrix, bias = taps(3)
    nodes.append(helper.make_node("Identity", ["layer3"], ["rows3"]))
    nodes += dense(tensors, 3, matrix[1], bias)
    return [*nodes, helper.make_node("Identity", ["layer4"], ["encoded"])]


def rewrite(source: onnx.ModelProto) -> onnx.ModelProto:
    """The network over [steps, tracks] chunks, with the weights of `source`."""
    w = weights(source)
    tensors: dict[str, np.ndarray] = {
        "basis": w["stft.forward_basis_buffer"][:, 0].T,
        "rnn.w": reordered(w["decoder.rnn.weight_ih"])[None],
        "rnn.r": reordered(w["decoder.rnn.weight_hh"])[None],
        "rnn.b": np.concatenate([reordered(w["decoder.rnn.bias_ih"]), reordered(w["decoder.rnn.bias_hh"])])[None],
        "head.w": w["decoder.decoder.2.weight"].reshape(1, HIDDEN).T,
        "head.b": w["decoder.decoder.2.bias"],
        "halves": np.array([1, 1], np.int64),
        "hidden": np.array([HIDDEN], np.int64),
    }
    tensors |= {f"int.{n}": np.array([n], np.int64) for n in range(7)}
    nodes = spectrum(tensors) + encoder(tensors, w)
    nodes += [
        helper.make_node("Shape", ["chunks"], ["shape"]),
        helper.make_node("Slice", ["shape", "int.0", "int.2", "int.0"], ["outer"]),
        helper.make_node("Concat", ["outer", "hidden"], ["sequence_shape"], axis=0),
        helper.make_node("Reshape", ["encoded", "sequence_shape"], ["sequence"]),
        helper.make_node("Split", ["state", "halves"], ["h", "c"], axis=0),
        helper.make_node(
            "LSTM",
            ["sequence", "rnn.w", "rnn.r", "rnn.b", "", "h", "c"],
            ["all_h", "last_h", "last_c"],
            hidden_size=HIDDEN,
        ),
        helper.make_node("Concat", ["last_h", "last_c"], ["next_state"], axis=0),
        helper.make_node("Squeeze", ["all_h", "int.1"], ["outputs"]),
        helper.make_node("Relu", ["outputs"], ["active"]),
        helper.make_node("MatMul", ["active", "head.w"], ["product"]),
        helper.make_node("Add", ["product", "head.b"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["sure"]),
        helper.make_node("Squeeze", ["sure", "int.2"], ["probability"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "silero_vad_blocks",
        [
            value("chunks", TensorProto.FLOAT, ["steps", "tracks", CHUNK]),
            value("state", TensorProto.FLOAT, [2, "tracks", HIDDEN]),
        ],
        [
            value("probability", TensorProto.FLOAT, ["steps", "tracks"]),
            value("next_state", TensorProto.FLOAT, [2, "tracks", HIDDEN]),
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
