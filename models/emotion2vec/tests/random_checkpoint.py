"""Checkpoints in FunASR's own layout with random weights: the real architecture, at full width or narrow.

The weights come out of FunASR's own module, so their names and shapes are upstream's, and the file also
holds what training leaves in it (decoder, EMA copy), which an export must drop.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

TOKENS = [
    "生气/angry",
    "厌恶/disgusted",
    "恐惧/fearful",
    "开心/happy",
    "中立/neutral",
    "其他/other",
    "难过/sad",
    "吃惊/surprised",
    "<unk>",
]


@dataclass(frozen=True)
class Size:
    """The dimensions that tell the published models, and the narrow one of the tests, apart."""

    width: int
    heads: int
    channels: int = 512
    position_groups: int = 16
    prenet_depth: int = 4
    depth: int = 8


LARGE = Size(width=1024, heads=16)
BASE = Size(width=768, heads=12)
# 12 heads: no power of two, like base and seed, so that ALiBi's second series of slopes is used.
NARROW = Size(width=96, heads=12, channels=32, position_groups=4, prenet_depth=2, depth=2)
NARROW_POWER_OF_TWO = Size(width=64, heads=8, channels=32, position_groups=16, prenet_depth=1, depth=2)


def config(size: Size, scope_map: list[str] | None = None) -> dict:
    """config.yaml of a published model, with `size` put in."""
    audio = {
        "type": "AUDIO",
        "prenet_depth": size.prenet_depth,
        "prenet_layerdrop": 0.05,
        "prenet_dropout": 0.1,
        "start_drop_path_rate": 0.0,
        "end_drop_path_rate": 0.0,
        "num_extra_tokens": 10,
        "init_extra_token_zero": True,
        "mask_noise_std": 0.01,
        "mask_prob_min": None,
        "mask_prob": 0.5,
        "inverse_mask": False,
        "mask_prob_adjust": 0.05,
        "keep_masked_pct": 0.0,
        "mask_length": 5,
        "add_masks": False,
        "remove_masks": False,
        "mask_dropout": 0.0,
        "encoder_zero_mask": True,
        "mask_channel_prob": 0.0,
        "mask_channel_length": 64,
        "ema_local_encoder": False,
        "local_grad_mult": 1.0,
        "use_alibi_encoder": True,
        "alibi_scale": 1.0,
        "learned_alibi": False,
        "alibi_max_pos": None,
        "learned_alibi_scale": True,
        "learned_alibi_scale_per_head": True,
        "learned_alibi_scale_per_layer": False,
        "num_alibi_heads": size.heads,
        "model_depth": size.depth,
        "decoder": {
            "decoder_dim": 384,
            "decoder_groups": 16,
            "decoder_kernel": 7,
            "decoder_layers": 4,
            "input_dropout": 0.1,
            "add_positions_masked": False,
            "add_positions_all": False,
            "decoder_residual": True,
            "projection_layers": 1,
            "projection_ratio": 2.0,
        },
        "extractor_mode": "layer_norm",
        "feature_encoder_spec": f"[({size.channels}, 10, 5)] + [({size.channels}, 3, 2)] * 4 "
        f"+ [({size.channels},2,2)] + [({size.channels},2,2)]",
        "conv_pos_width": 95,
        "conv_pos_groups": size.position_groups,
        "conv_pos_depth": 5,
        "conv_pos_pre_ln": False,
    }
    model = {
        "loss_beta": 0.0,
        "loss_scale": None,
        "depth": size.depth,
        "start_drop_path_rate": 0.0,
        "end_drop_path_rate": 0.0,
        "num_heads": size.heads,
        "norm_eps": 1e-05,
        "norm_affine": True,
        "encoder_dropout": 0.1,
        "post_mlp_drop": 0.1,
        "attention_dropout": 0.1,
        "activation_dropout": 0.0,
        "dropout_input": 0.0,
        "layerdrop": 0.05,
        "embed_dim": size.width,
        "mlp_ratio": 4.0,
        "layer_norm_first": False,
        "average_top_k_layers": size.depth,
        "end_of_block_targets": False,
        "clone_batch": 8,
        "normalize": True,
        "modalities": {"_name": None, "audio": audio},
    }
    tokenizer = {"tokenizer": "CharTokenizer", "tokenizer_conf": {"unk_symbol": "<unk>", "split_with_space": True}}
    return {"model": "Emotion2vec", "model_conf": model, **tokenizer, **({"scope_map": scope_map} if scope_map else {})}


def build(folder: Path, size: Size, *, seed: int = 0, published_names: bool = True, tokens: list[str] = TOKENS) -> Path:
    """Writes config.yaml, model.pt and tokens.txt into `folder`.

    `published_names`: keys as fairseq's fine-tuning wrote them (`d2v_model.`, see `scope_map`); else FunASR's own.
    """
    from funasr.models.emotion2vec.model import Emotion2vec

    folder.mkdir(parents=True, exist_ok=True)
    written = config(size, ["d2v_model.", "none"] if published_names else None)
    torch.manual_seed(seed)
    network = Emotion2vec(model_conf=written["model_conf"], vocab_size=len(TOKENS))
    weights = {name: _vary(name, value) for name, value in network.state_dict().items()}
    if published_names:
        weights = {name if name.startswith("proj.") else f"d2v_model.{name}": value for name, value in weights.items()}
    weights |= {f"_ema.blocks.{index}.norm1.weight": torch.ones(size.width) for index in range(size.depth)}
    torch.save({"model": weights, "optimizer_history": []}, folder / "model.pt")
    (folder / "config.yaml").write_text(yaml.safe_dump(written, sort_keys=False), encoding="utf-8")
    (folder / "tokens.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return folder


def _vary(name: str, value: torch.Tensor) -> torch.Tensor:
    """Takes parameters away from the ones and zeros they start at, where a wrong formula would not show."""
    noise = torch.randn_like(value)
    if name.endswith("alibi_scale"):
        return 0.6 * noise + 0.8  # some heads below zero, where the scale is clamped
    if name.endswith("extra_tokens"):
        return noise
    if value.dim() == 1:
        return value + 0.1 * noise
    if name == "proj.weight":
        return 3.0 * value
    return value


def spread_head(folder: Path, waveforms: list, threads: int, gain: float = 2.0) -> None:
    """Replaces the classifier by one that separates these recordings.

    A random classifier predicts the same emotion for every recording, which would make any agreement look perfect. This
    one projects on the directions in which the recordings' features differ most, each scaled to the same spread, so
    that all nine emotions occur.
    """
    import numpy as np
    from exporter.reference import Reference

    reference = Reference(folder, threads)
    features = np.array([reference.answer(waveform).embedding for waveform in waveforms], dtype=np.float64)
    mean = features.mean(axis=0)
    _, spread, directions = np.linalg.svd(features - mean, full_matrices=False)
    count = min(8, len(waveforms) - 1)
    mix = np.linalg.qr(np.random.default_rng(0).normal(size=(len(TOKENS), count)))[0] * np.sqrt(len(TOKENS))
    weight = gain * mix @ (directions[:count] * (np.sqrt(len(waveforms)) / spread[:count, None]))
    stored = torch.load(folder / "model.pt", weights_only=True)
    stored["model"]["proj.weight"] = torch.tensor(weight, dtype=torch.float32)
    stored["model"]["proj.bias"] = torch.tensor(-weight @ mean, dtype=torch.float32)
    torch.save(stored, folder / "model.pt")
