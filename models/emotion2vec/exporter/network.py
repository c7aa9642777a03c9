"""The whole network as one ONNX graph under emofleet's model contract.

Written by hand, not traced: every length is computed inside the graph, so there is no traced
length to go beyond, and the operators are the fused ones that ONNX Runtime has kernels for.
"""

from dataclasses import dataclass

from onnx import ModelProto, TensorProto, helper

from .activation import Activation, NormGelu, NormThenGelu
from .architecture import Architecture
from .attention import Attention, FusedAttention
from .bf16 import Bf16Attention, Bf16Convolution, Bf16Linear
from .checkpoint import Weights
from .encoder import write_encoder
from .frontend import write_convolutions, write_normalisation
from .graph_writer import GraphWriter
from .head import write_head
from .int8 import Int8Linear, RowwiseInt8Linear
from .lengths import write_frame_mask
from .linear import Linear, PaddedLinear
from .own_linear import DOMAIN
from .positions import BlockedConvolution, GroupedConvolution, write_positions
from .processor import Int8Form, own_instructions

PRODUCER = "emofleet emotion2vec exporter"


# The names that model.json gives for the precision of the linear layers.
PRECISIONS = ("fp32", "int8", "bf16")


def write_network(
    architecture: Architecture,
    weights: Weights,
    labels: int,
    precision: str = "fp32",
    form: Int8Form | None = None,
) -> ModelProto:
    """The graph of the model contract (docs/architecture.md): `waveform` and `lengths` in, four outputs.

    `form` is for int8, and 7 bits without it; bf16 has no form without the worker's operators.
    """
    form = form or Int8Form(7)
    own_operators = bool(own_instructions(precision, form))
    graph = GraphWriter(scan_rank=2 if own_operators else None)
    layers = _layers(graph, architecture, weights, precision, form.bits, own_operators)
    waveform = write_normalisation(graph, architecture, "waveform", "lengths")
    features = write_convolutions(graph, architecture, weights, layers.linear, layers.activation, waveform)
    mask = write_frame_mask(graph, architecture, features, "lengths")
    features = write_positions(graph, architecture, weights, layers.convolution, layers.activation, features, mask)
    frames = write_encoder(graph, architecture, weights, layers.linear, layers.attention, features, mask)
    write_head(graph, weights, frames, mask)
    width = architecture.width
    inputs = [_tensor("waveform", "batch", "samples"), _tensor("lengths", "batch", kind=TensorProto.INT64)]
    outputs = [
        _tensor("logits", "batch", labels),
        _tensor("embedding", "batch", width),
        _tensor("frames", "batch", "frames_count", width),
        _tensor("frame_logits", "batch", "frames_count", labels),
    ]
    return graph.model(inputs, outputs, PRODUCER, [DOMAIN] if own_operators else [])


@dataclass(frozen=True)
class Layers:
    """Who writes what a precision has operators of its own for."""

    linear: Linear
    attention: Attention
    convolution: GroupedConvolution
    activation: Activation


def _layers(
    graph: GraphWriter,
    architecture: Architecture,
    weights: Weights,
    precision: str,
    weight_bits: int,
    own_operators: bool,
) -> Layers:
    if own_operators:
        linear = Bf16Linear(graph) if precision == "bf16" else RowwiseInt8Linear(graph)
        return Layers(linear, Bf16Attention(graph, architecture, weights), Bf16Convolution(graph), NormGelu(graph))
    linear = Int8Linear(graph, weight_bits) if precision == "int8" else PaddedLinear(graph)
    attention = FusedAttention(graph, architecture, weights)
    return Layers(linear, attention, BlockedConvolution(graph), NormThenGelu(graph))


def _tensor(name: str, *shape, kind: int = TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, list(shape))
