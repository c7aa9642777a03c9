"""The dimensions of an emotion2vec model, read from FunASR's config.yaml and verified to be a shape we can write."""

import ast
import re
from dataclasses import dataclass
from math import log2, prod

from .errors import ExportError


@dataclass(frozen=True)
class Convolution:
    """One layer of the waveform front end: output channels, kernel and stride in input frames."""

    channels: int
    kernel: int
    stride: int


@dataclass(frozen=True)
class Architecture:
    """What config.yaml's `model_conf` says about the network at inference."""

    convolutions: tuple[Convolution, ...]
    width: int
    heads: int
    mlp_width: int
    prenet_depth: int
    depth: int
    extra_tokens: int
    position_layers: int
    position_kernel: int
    position_groups: int
    norm_eps: float
    normalise: bool

    @property
    def blocks(self) -> int:
        return self.prenet_depth + self.depth

    @property
    def stride(self) -> int:
        """Samples from one frame to the next (320: 50 frames a second at 16 kHz)."""
        return prod(layer.stride for layer in self.convolutions)

    @property
    def receptive_field(self) -> int:
        """Samples that one frame sees, and so the shortest input (400)."""
        field, step = 1, 1
        for layer in self.convolutions:
            field += (layer.kernel - 1) * step
            step *= layer.stride
        return field

    def alibi_slopes(self) -> list[float]:
        """ALiBi's geometric slope of each head. Head counts that are no power of two use every second slope."""

        def of_power_of_two(heads: int) -> list[float]:
            first = 2.0 ** (-(2.0 ** -(log2(heads) - 3)))
            return [first ** (index + 1) for index in range(heads)]

        whole = 1 << (self.heads.bit_length() - 1)
        slopes = of_power_of_two(whole)
        if whole < self.heads:
            slopes += of_power_of_two(2 * whole)[0::2][: self.heads - whole]
        return slopes


def read_architecture(config: dict) -> Architecture:
    """Dimensions from a parsed config.yaml. Raises `ExportError` for a data2vec 2 variant that is not emotion2vec+."""
    if config.get("model") != "Emotion2vec":
        raise ExportError(
            f"config.yaml describes the model {config.get('model')!r}, not Emotion2vec: "
            "give an emotion2vec+ checkpoint."
        )
    conf = config["model_conf"]
    audio = conf["modalities"]["audio"]
    expected = {
        "layer_norm_first": (conf.get("layer_norm_first"), False),
        "norm_affine": (conf.get("norm_affine"), True),
        "use_alibi_encoder": (audio.get("use_alibi_encoder"), True),
        "learned_alibi": (audio.get("learned_alibi"), False),
        "learned_alibi_scale_per_layer": (audio.get("learned_alibi_scale_per_layer", False), False),
        "extractor_mode": (audio.get("extractor_mode"), "layer_norm"),
        "conv_pos_pre_ln": (audio.get("conv_pos_pre_ln", False), False),
        "num_alibi_heads": (audio.get("num_alibi_heads"), conf["num_heads"]),
    }
    unknown = [f"{name} = {got!r} (wanted {want!r})" for name, (got, want) in expected.items() if got != want]
    if unknown:
        raise ExportError(f"config.yaml asks for a network this exporter does not write: {'; '.join(unknown)}.")
    position_layers = int(audio["conv_pos_depth"])
    kernel = max(3, int(audio["conv_pos_width"]) // position_layers)
    if kernel % 2 == 0:
        raise ExportError(
            f"config.yaml gives an even positional kernel ({kernel}), which this exporter does not write."
        )
    return Architecture(
        convolutions=_read_convolutions(audio["feature_encoder_spec"]),
        width=int(conf["embed_dim"]),
        heads=int(conf["num_heads"]),
        mlp_width=int(conf["embed_dim"] * float(conf["mlp_ratio"])),
        prenet_depth=int(audio["prenet_depth"]),
        depth=int(conf["depth"]),
        extra_tokens=int(audio["num_extra_tokens"]),
        position_layers=position_layers,
        position_kernel=kernel,
        position_groups=int(audio["conv_pos_groups"]),
        norm_eps=float(conf["norm_eps"]),
        normalise=bool(conf["normalize"]),
    )


def _read_convolutions(spec: str) -> tuple[Convolution, ...]:
    """Reads `[(512, 10, 5)] + [(512, 3, 2)] * 4 + ...` without evaluating the text as code."""
    layers: list[Convolution] = []
    for term in re.finditer(r"(\[[^\]]*\])\s*(?:\*\s*(\d+))?", spec):
        triples = ast.literal_eval(term.group(1))
        layers += [Convolution(*map(int, triple)) for triple in triples] * int(term.group(2) or 1)
    if not layers:
        raise ExportError(f"config.yaml's feature_encoder_spec is unreadable: {spec!r}.")
    return tuple(layers)
