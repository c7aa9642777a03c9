"""The transformer: extra tokens in front, ALiBi, and twelve post-norm blocks."""

import functools
from dataclasses import dataclass

from onnx import TensorProto

from .architecture import Architecture
from .attention import Attention
from .block import BlockWriter
from .checkpoint import Weights
from .graph_writer import GraphWriter
from .lengths import FrameMask
from .linear import Linear

# Rows of a chunk at most.
CHUNK_ROWS = 256


@dataclass(frozen=True)
class Tokens:
    """The rows of all tokens, as names of two shapes.

    [batch, tokens, width] is for attention, [chunks, rows, width] for layers that treat each row alike. ONNX Runtime's
    MatMul is fastest on about 200 rows, whose values stay in the processor's cache through the feed-forward layer; on
    1500 rows (30 s) it is a fifth slower. `missing` tokens are added behind each row of the batch, so that the rows
    divide by the chunks.
    """

    whole: str
    chunked: str
    missing: str


def write_encoder(
    graph: GraphWriter,
    architecture: Architecture,
    weights: Weights,
    linear: Linear,
    attention: Attention,
    features: str,
    mask: FrameMask,
) -> str:
    """f32 [batch, frames, width] -> the last block's output for the same frames (extra tokens dropped)."""
    frames = graph.dimension(features, 1, name="frames_total")
    tokens = _write_tokens(graph, architecture, linear, features)
    padding = graph.node(
        "Concat", graph.integers(0, 0, 0, 0), tokens.missing, graph.integers(0), axis=0, name="features.padding"
    )
    features = graph.node("Pad", features, padding, name="features.padded")
    attention.begin(features)
    keys = _key_mask(graph, architecture, mask, tokens)
    prefix = "modality_encoders.AUDIO.context_encoder"
    blocks = [f"{prefix}.blocks.{index}" for index in range(architecture.prenet_depth)]
    blocks += [f"blocks.{index}" for index in range(architecture.depth)]
    writer = BlockWriter(graph, architecture, weights, linear, blocks)

    value = graph.node(
        "Reshape", _prepend_extra_tokens(graph, architecture, weights, features), tokens.chunked, name="tokens.chunked"
    )
    value, *parts = graph.scan(lambda chunk: writer.enter(chunk, f"{prefix}.norm"), value, name="enter")
    for index in range(len(blocks)):
        query, key, values = (graph.node("Reshape", part, tokens.whole, name=f"block{index}.whole") for part in parts)
        attended = attention.apply(query, key, values, keys, f"block{index}.attention")
        attended = graph.node("Reshape", attended, tokens.chunked, name=f"block{index}.chunked")
        value, *parts = graph.scan(
            functools.partial(writer.after_attention, index), attended, value, name=f"block{index}"
        )
    value = graph.node("Reshape", value, tokens.whole, name="encoded")
    end = graph.node("Add", frames, graph.integers(architecture.extra_tokens), name="tokens_total")
    return graph.slice(value, architecture.extra_tokens, end, axis=1, name="encoded_frames")


def _write_tokens(graph: GraphWriter, architecture: Architecture, linear: Linear, features: str) -> Tokens:
    batch, frames = (graph.dimension(features, axis, name=name) for axis, name in enumerate(("batch", "frames_total")))
    real = graph.node("Add", frames, graph.integers(architecture.extra_tokens), name="tokens_total")
    rows = graph.node("Mul", real, batch, name="rows")
    chunks = graph.ceiling_quotient(rows, graph.integers(CHUNK_ROWS), name="chunks")
    # Of each row of the batch, what goes into one chunk.
    share = graph.ceiling_quotient(real, chunks, name="chunk.share")
    linear.begin(graph.node("Mul", share, batch, name="chunk.rows"))
    padded = graph.node("Mul", share, chunks, name="tokens_padded")
    width = graph.integers(architecture.width)
    return Tokens(
        whole=graph.node("Concat", batch, padded, width, axis=0, name="tokens.shape"),
        chunked=graph.node("Concat", chunks, graph.integers(-1, architecture.width), axis=0, name="chunks.shape"),
        missing=graph.node("Sub", padded, real, name="tokens_missing"),
    )


def _prepend_extra_tokens(graph, architecture, weights, features):
    tokens = graph.weight("extra_tokens", weights["modality_encoders.AUDIO.extra_tokens"])
    batch = graph.dimension(features, 0, name="batch")
    shape = graph.node("Concat", batch, graph.integers(1, 1), axis=0, name="extra_tokens.shape")
    return graph.node(
        "Concat", graph.node("Expand", tokens, shape, name="extra_tokens.batch"), features, axis=1, name="tokens"
    )


def _key_mask(graph, architecture, mask, tokens):
    """Keys to attend to, int32 [batch, tokens]: the extra tokens and the real frames."""
    valid = graph.node("Cast", mask.valid, to=TensorProto.INT32, name="keys.frames")
    one = graph.node("Cast", graph.integers(1, scalar=True), to=TensorProto.INT32, name="keys.one")
    valid = graph.node("Pad", valid, graph.integers(0, architecture.extra_tokens, 0, 0), one, name="keys.tokens")
    return graph.node("Pad", valid, graph.node("Concat", graph.integers(0, 0, 0), tokens.missing, axis=0), name="keys")
