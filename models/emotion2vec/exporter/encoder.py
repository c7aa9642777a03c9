"""The transformer: extra tokens in front, ALiBi, and twelve post-norm blocks."""

import numpy as np
from onnx import TensorProto

from .architecture import Architecture
from .checkpoint import Weights
from .graph_writer import MICROSOFT, GraphWriter
from .lengths import FrameMask
from .linear import Linear

# Score of a key that must not be attended to: its weight is exactly 0 after the softmax.
MASKED = -1e30
# A key whose bias alone is below this weighs under 2e-28 of the frame itself, far less than float32 can add to it, and is
# taken out: else its weight would come out of the softmax as a denormal number, on which processors are many times slower.
NEGLIGIBLE = -64.0


def write_encoder(
    graph: GraphWriter, architecture: Architecture, weights: Weights, linear: Linear, features: str, mask: FrameMask
) -> str:
    """f32 [batch, frames, width] -> the last block's output for the same frames (extra tokens dropped)."""
    bias = write_attention_bias(graph, architecture, weights, features)
    value = _prepend_extra_tokens(graph, architecture, weights, features)
    keys = _key_mask(graph, architecture, mask)
    prefix = "modality_encoders.AUDIO.context_encoder"
    value = graph.node("LayerNormalization", value, *_norm(graph, weights, f"{prefix}.norm", "encoder.norm"),
                       axis=-1, epsilon=architecture.norm_eps, name="encoder.norm")
    sources = [f"{prefix}.blocks.{index}" for index in range(architecture.prenet_depth)]
    sources += [f"blocks.{index}" for index in range(architecture.depth)]
    for index, source in enumerate(sources):
        value = _write_block(graph, architecture, weights, linear, source, f"block{index}", value, bias, keys)
    last = graph.dimension(value, 1, name="tokens_total")
    return graph.slice(value, architecture.extra_tokens, last, axis=1, name="encoded_frames")


def write_attention_bias(graph: GraphWriter, architecture: Architecture, weights: Weights, features: str) -> str:
    """ALiBi of all heads, -|i - j| * slope * max(scale, 0), zero for the extra tokens. f32 [1, heads, tokens, tokens].

    The same for every block and every row, so it is computed once per run.
    """
    learned = weights["modality_encoders.AUDIO.alibi_scale"].astype(np.float64).reshape(-1)
    slopes = -np.array(architecture.alibi_slopes()) * np.maximum(learned, 0.0)
    total = graph.node("Squeeze", graph.dimension(features, 1, name="frames_total"), graph.integers(0), name="frames_total")
    index = graph.node("Range", graph.integers(0, scalar=True), total, graph.integers(1, scalar=True), name="alibi.index")
    index = graph.node("Cast", index, to=TensorProto.FLOAT, name="alibi.index")
    row = graph.node("Unsqueeze", index, graph.integers(1), name="alibi.row")
    distance = graph.node("Abs", graph.node("Sub", row, index, name="alibi.offset"), name="alibi.distance")
    padding = graph.integers(architecture.extra_tokens, architecture.extra_tokens, 0, 0)
    distance = graph.node("Pad", distance, padding, name="alibi.distance")
    slope = graph.weight("alibi.slope", slopes.reshape(1, architecture.heads, 1, 1))
    bias = graph.node("Mul", distance, slope, name="alibi.bias")
    far = graph.node("Less", bias, graph.number(NEGLIGIBLE), name="alibi.far")
    return graph.node("Where", far, graph.number(MASKED), bias, name="alibi.near")


def _prepend_extra_tokens(graph, architecture, weights, features):
    tokens = graph.weight("extra_tokens", weights["modality_encoders.AUDIO.extra_tokens"])
    batch = graph.dimension(features, 0, name="batch")
    shape = graph.node("Concat", batch, graph.integers(1, 1), axis=0, name="extra_tokens.shape")
    return graph.node("Concat", graph.node("Expand", tokens, shape, name="extra_tokens.batch"), features, axis=1, name="tokens")


def _key_mask(graph, architecture, mask):
    """Keys to attend to, int32 [batch, tokens]: the extra tokens and the real frames."""
    valid = graph.node("Cast", mask.valid, to=TensorProto.INT32, name="keys.frames")
    one = graph.node("Cast", graph.integers(1, scalar=True), to=TensorProto.INT32, name="keys.one")
    return graph.node("Pad", valid, graph.integers(0, architecture.extra_tokens, 0, 0), one, name="keys")


def _norm(graph, weights, source, name):
    return graph.weight(f"{name}.weight", weights[f"{source}.weight"]), graph.weight(f"{name}.bias", weights[f"{source}.bias"])


def _write_block(graph, architecture, weights, linear, source, name, value, bias, keys):
    def layer(part: str):
        return weights[f"{source}.{part}.weight"], weights[f"{source}.{part}.bias"]

    def add_and_norm(branch: str, residual: str, norm: str) -> str:
        # Sum, not Add: Add would be fused into SkipLayerNormalization, which takes more than twice the time of the two.
        total = graph.node("Sum", branch, residual, name=f"{name}.{norm}.sum")
        scale = _norm(graph, weights, f"{source}.{norm}", f"{name}.{norm}")
        return graph.node("LayerNormalization", total, *scale, axis=-1, epsilon=architecture.norm_eps, name=f"{name}.{norm}")

    prepared = linear.prepare(value, f"{name}.attention")
    query, key, values = (
        linear.apply(prepared, weight, part_bias, f"{name}.attention.{part}")
        for part, weight, part_bias in zip(("query", "key", "value"), *(np.split(array, 3) for array in layer("attn.qkv")), strict=True)
    )
    attended = graph.node(
        "MultiHeadAttention", query, key, values, "", keys, bias,
        domain=MICROSOFT, num_heads=architecture.heads, mask_filter_value=MASKED, name=f"{name}.attention",
    )
    attended = linear.apply(linear.prepare(attended, f"{name}.attention.out"), *layer("attn.proj"), f"{name}.attention.out")
    value = add_and_norm(attended, value, "norm1")
    return add_and_norm(linear.feed_forward(value, layer("mlp.fc1"), layer("mlp.fc2"), f"{name}.mlp"), value, "norm2")
