"""From samples to frames: waveform normalisation and the strided convolutions, channels last throughout."""

import numpy as np
from onnx import TensorProto

from .activation import NORM_EPS, Activation
from .architecture import Architecture
from .checkpoint import Weights
from .graph_writer import GraphWriter
from .linear import Linear
from .windows import write_windows

# Frames of a chunk at most: the largest value between two convolutions then has 64 * 64 * 512 floats, 8 MiB.
CHUNK_FRAMES = 64


def write_normalisation(graph: GraphWriter, architecture: Architecture, waveform: str, lengths: str) -> str:
    """Zero mean and unit variance over the first `lengths` samples of each row, else 0. f32 [batch, samples]."""
    if not architecture.normalise:
        return waveform
    total = graph.node(
        "Squeeze", graph.dimension(waveform, 1, name="samples_total"), graph.integers(0), name="samples_total"
    )
    index = graph.node(
        "Range", graph.integers(0, scalar=True), total, graph.integers(1, scalar=True), name="sample_index"
    )
    count = graph.node("Unsqueeze", lengths, graph.integers(1), name="sample_count")
    mask = graph.node(
        "Cast", graph.node("Less", index, count, name="sample_valid"), to=TensorProto.FLOAT, name="sample_factor"
    )
    count = graph.node("Cast", count, to=TensorProto.FLOAT, name="sample_count_f32")

    def mean(values: str, name: str) -> str:
        summed = graph.node("ReduceSum", values, graph.integers(1), keepdims=1, name=f"{name}_sum")
        return graph.node("Div", summed, count, name=name)

    audible = graph.node("Mul", waveform, mask, name="waveform_valid")
    centred = graph.node("Sub", audible, mean(audible, "waveform_mean"), name="waveform_centred")
    centred = graph.node("Mul", centred, mask, name="waveform_centred")
    variance = mean(graph.node("Mul", centred, centred, name="waveform_square"), "waveform_variance")
    deviation = graph.node(
        "Sqrt", graph.node("Add", variance, graph.number(NORM_EPS), name="waveform_variance"), name="waveform_deviation"
    )
    return graph.node("Div", centred, deviation, name="waveform_normalised")


def write_convolutions(
    graph: GraphWriter,
    architecture: Architecture,
    weights: Weights,
    linear: Linear,
    activation: Activation,
    waveform: str,
) -> str:
    """The seven convolutions, each with LayerNorm over channels and GELU.

    f32 [batch, samples] -> [batch, frames, channels]. A frame depends on its 400 samples only, so the waveform is cut
    into overlapping chunks: their intermediate values stay in the processor's cache, and memory does not grow with the
    length. The frames of a padded row that include padding are wrong here; the frame mask removes them later.
    """
    stride, overlap = (
        graph.integers(architecture.stride),
        graph.integers(architecture.receptive_field - architecture.stride),
    )
    batch, samples = graph.dimension(waveform, 0, name="batch"), graph.dimension(waveform, 1, name="samples_total")
    frames = graph.node("Div", graph.node("Sub", samples, overlap, name="frames_total"), stride, name="frames_total")
    chunks = graph.ceiling_quotient(frames, graph.integers(CHUNK_FRAMES), name="chunks")
    step = graph.node("Mul", graph.ceiling_quotient(frames, chunks, name="chunk.frames"), stride, name="chunk.step")
    end = graph.node("Mul", chunks, step, name="chunks.end")
    missing = graph.node("Sub", graph.node("Add", end, overlap, name="samples_needed"), samples, name="samples_missing")
    missing = graph.node("Max", missing, graph.integers(0), name="samples_missing")
    waveform = graph.node(
        "Pad", waveform, graph.node("Concat", graph.integers(0, 0, 0), missing, axis=0), name="waveform_padded"
    )
    first = graph.node("Unsqueeze", graph.span(end, step, name="chunk.first"), graph.integers(1), name="chunk.first")
    sample = graph.node(
        "Add", first, graph.span(graph.node("Add", step, overlap), name="chunk.sample"), name="chunk.sample"
    )
    taken = graph.node("Gather", waveform, sample, axis=1, name="waveform_chunks")
    shape = graph.node("Concat", graph.integers(-1), graph.node("Add", step, overlap), axis=0, name="chunk.shape")
    taken = graph.node("Reshape", taken, shape, name="waveform_chunks")

    (value,) = graph.scan(
        lambda chunk: [_write_chunk(graph, architecture, weights, linear, activation, chunk)],
        taken,
        name="convolutions",
    )
    channels = architecture.convolutions[-1].channels
    shape = graph.node("Concat", batch, graph.integers(-1, channels), axis=0, name="features.shape")
    return graph.slice(graph.node("Reshape", value, shape, name="features"), 0, frames, axis=1, name="features")


def _write_chunk(
    graph: GraphWriter,
    architecture: Architecture,
    weights: Weights,
    linear: Linear,
    activation: Activation,
    samples: str,
) -> str:
    """f32 [samples] -> [frames, channels].

    Channels last makes LayerNorm and GELU work on contiguous rows, and a convolution one large MatMul.
    """
    prefix = "modality_encoders.AUDIO.local_encoder.conv_layers"
    value = graph.node("Unsqueeze", samples, graph.integers(1), name="waveform_channel")
    channels = 1
    for index, layer in enumerate(architecture.convolutions):
        name = f"convolution{index}"
        # Conv1d's [out, in, kernel] -> [kernel * in, out], matching rows of `kernel` consecutive frames.
        kernel = np.transpose(weights[f"{prefix}.{index}.0.weight"], (2, 1, 0)).reshape(
            layer.kernel * channels, layer.channels
        )
        if channels == 1:
            # Few inputs for each output: fewer bits would save no time, and would lose precision of the samples.
            windows = write_windows(graph, layer, value, len(kernel), name)
            value = graph.node("MatMul", windows, graph.weight(f"{name}.weight", kernel), name=name)
        else:
            value = linear.convolve(value, layer, kernel, name)
        scale, bias = (weights[f"{prefix}.{index}.2.1.{part}"] for part in ("weight", "bias"))
        value = activation.apply(value, scale, bias, name)
        channels = layer.channels
    return value
