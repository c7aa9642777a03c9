"""Projection to the model's width, and the convolutional position encoding added to it."""

from typing import Protocol

import numpy as np

from .activation import NORM_EPS, Activation
from .architecture import Architecture
from .checkpoint import Weights
from .graph_writer import GraphWriter
from .lengths import FrameMask


class GroupedConvolution(Protocol):
    """Writes convolutions over f32 [batch, frames, channels] that keep the shape, zeros beyond the ends."""

    def apply(self, value: str, weight: np.ndarray, bias: np.ndarray, groups: int, name: str) -> str:
        """Weights as PyTorch keeps them, [channels, channels / groups, kernel], with an odd kernel."""


class BlockedConvolution:
    """For fp32: ONNX Runtime's convolution."""

    def __init__(self, graph: GraphWriter) -> None:
        self._graph = graph

    def apply(self, value: str, weight: np.ndarray, bias: np.ndarray, groups: int, name: str) -> str:
        graph, kernel = self._graph, weight.shape[2]
        value = graph.node("Transpose", value, perm=[0, 2, 1], name=f"{name}.channels_first")
        # Two-dimensional with a height of 1: ONNX Runtime has its blocked (NCHWc) kernels for that form only.
        value = graph.node("Unsqueeze", value, graph.integers(2), name=f"{name}.image")
        value = graph.node(
            "Conv",
            value,
            graph.weight(f"{name}.weight", np.expand_dims(weight, 2)),
            graph.weight(f"{name}.bias", bias),
            group=groups,
            kernel_shape=[1, kernel],
            pads=[0, kernel // 2] * 2,
            name=name,
        )
        value = graph.node("Squeeze", value, graph.integers(2), name=f"{name}.sequence")
        return graph.node("Transpose", value, perm=[0, 2, 1], name=f"{name}.channels_last")


def write_positions(
    graph: GraphWriter,
    architecture: Architecture,
    weights: Weights,
    convolution: GroupedConvolution,
    activation: Activation,
    features: str,
    mask: FrameMask,
) -> str:
    """f32 [batch, frames, channels] -> [batch, frames, width].

    The convolutions look 9 frames to each side, five times: invalid frames are zeroed before each of them, so that
    a padded row sees what a single one sees, zeros behind its end.
    """
    prefix = "modality_encoders.AUDIO"
    scale = graph.weight("projection.norm.weight", weights[f"{prefix}.project_features.1.weight"])
    bias = graph.weight("projection.norm.bias", weights[f"{prefix}.project_features.1.bias"])
    value = graph.node("LayerNormalization", features, scale, bias, axis=-1, epsilon=NORM_EPS, name="projection.norm")
    value = graph.node(
        "MatMul",
        value,
        graph.weight("projection.weight", weights[f"{prefix}.project_features.2.weight"].T),
        name="projection",
    )
    value = graph.node(
        "Add",
        value,
        graph.weight("projection.bias", weights[f"{prefix}.project_features.2.bias"]),
        name="projection.biased",
    )

    position = value
    for index in range(architecture.position_layers):
        name = f"position{index}"
        layer = f"{prefix}.relative_positional_encoder.{index + 1}.0"
        position = graph.node("Mul", position, mask.factor, name=f"{name}.masked")
        position = convolution.apply(
            position,
            weights[f"{layer}.weight"],
            weights[f"{layer}.bias"],
            architecture.position_groups,
            name,
        )
        position = activation.apply(position, np.ones(architecture.width), np.zeros(architecture.width), name)
    return graph.node("Add", value, position, name="positioned")
