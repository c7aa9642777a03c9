"""Projection to the model's width, and the convolutional position encoding added to it."""

import numpy as np

from .architecture import Architecture
from .checkpoint import Weights
from .frontend import NORM_EPS
from .graph_writer import MICROSOFT, GraphWriter
from .lengths import FrameMask


def write_positions(
    graph: GraphWriter, architecture: Architecture, weights: Weights, features: str, mask: FrameMask
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

    unit = graph.weight("positions.norm.one", np.ones(architecture.width))
    position = value
    for index in range(architecture.position_layers):
        name = f"position{index}"
        layer = f"{prefix}.relative_positional_encoder.{index + 1}.0"
        position = graph.node("Mul", position, mask.factor, name=f"{name}.masked")
        position = graph.node("Transpose", position, perm=[0, 2, 1], name=f"{name}.channels_first")
        # Two-dimensional with a height of 1: ONNX Runtime has its blocked (NCHWc) kernels for that form only.
        position = graph.node("Unsqueeze", position, graph.integers(2), name=f"{name}.image")
        kernel = np.expand_dims(weights[f"{layer}.weight"], 2)
        position = graph.node(
            "Conv",
            position,
            graph.weight(f"{name}.weight", kernel),
            graph.weight(f"{name}.bias", weights[f"{layer}.bias"]),
            group=architecture.position_groups,
            kernel_shape=[1, architecture.position_kernel],
            pads=[0, architecture.position_kernel // 2] * 2,
            name=name,
        )
        position = graph.node("Squeeze", position, graph.integers(2), name=f"{name}.sequence")
        position = graph.node("Transpose", position, perm=[0, 2, 1], name=f"{name}.channels_last")
        position = graph.node("LayerNormalization", position, unit, axis=-1, epsilon=NORM_EPS, name=f"{name}.norm")
        position = graph.node("Gelu", position, domain=MICROSOFT, name=f"{name}.gelu")
    return graph.node("Add", value, position, name="positioned")
