"""What this processor can compute: which form of int8, and bf16.

ONNX Runtime multiplies unsigned 8-bit activations by signed weights. x86 processors without VNNI add two such products
in 16 bits and saturate: 2 * 255 * 127 does not fit, 2 * 255 * 63 does. With VNNI, and on ARM, sums have 32 bits.
"""

import platform
from dataclasses import dataclass
from pathlib import Path

from .errors import ExportError

BITS = (7, 8)
X86 = {"x86_64", "amd64", "i386", "i586", "i686"}
# Linux' names of VNNI: the instructions for 512-bit registers, and the later ones for 256-bit registers.
VNNI = {"avx512_vnni", "avx_vnni"}
# What the worker's operators need, by their names in model.json (crates/speech/src/model/instructions.rs); all of them
# need the three others as well.
BF16, INT8 = ["avx512_bf16"], ["avx512_bf16", "avx512_vnni"]
AVX512 = {"avx512f", "avx512bw", "avx512vl"}


@dataclass(frozen=True)
class Int8Form:
    """Bits of the weights, and whether the graph takes the worker's own operators (then 8)."""

    bits: int
    own_operators: bool = False


def adds_exactly(machine: str | None = None, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether sums of 8-bit products can't saturate. An x86 processor that can't be asked is taken for an old one."""
    if (machine or platform.machine()).lower() not in X86:
        return True
    flags = _flags(cpuinfo)
    return bool(flags) and all(VNNI & each for each in flags)


def own_instructions(precision: str, form: Int8Form | None) -> list[str]:
    """What the worker's own operators in a graph need; empty for a graph of ONNX Runtime's. `form` is for int8."""
    match precision:
        case "bf16":
            return BF16
        case "int8" if form and form.own_operators:
            return INT8
        case _:
            return []


def has_bf16(machine: str | None = None, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the worker's operators in bf16 run here."""
    return _has(BF16, machine, cpuinfo)


def has_int8_operators(machine: str | None = None, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the worker's operators for int8 run here; attention and positions are in bf16 then."""
    return _has(INT8, machine, cpuinfo)


def _has(instructions: list[str], machine: str | None, cpuinfo: Path) -> bool:
    flags = _flags(cpuinfo) if (machine or platform.machine()).lower() in X86 else []
    return bool(flags) and all(each >= AVX512.union(instructions) for each in flags)


def require_bf16() -> None:
    """Raises `ExportError` where bf16 can't be measured."""
    if not has_bf16():
        raise ExportError(
            "bf16 needs a processor with AVX512-BF16 (avx512_bf16 in /proc/cpuinfo), and this one has none: workers "
            "here would refuse the model. Take fp32 or int8, or export on a processor that has it."
        )


def _flags(cpuinfo: Path) -> list[set[str]]:
    """Of each core."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [set(line.partition(":")[2].split()) for line in lines if line.split(":")[0].strip() == "flags"]


def int8_form(asked: str) -> Int8Form:
    """The form for `auto`, `7` or `8`; the latter two are ONNX Runtime's own operators.

    Raises `ExportError` where this processor can't run it correctly.
    """
    exact = adds_exactly()
    if asked == "auto":
        return Int8Form(8 if exact else 7, own_operators=exact and has_int8_operators())
    if asked == "8" and not exact:
        raise ExportError(
            "8-bit weights need a processor with VNNI (avx512_vnni or avx_vnni in /proc/cpuinfo), and this one has "
            "none: sums would saturate in the measurement here, and workers here would refuse the model. "
            "Use --int8-bits 7, or export on a processor with VNNI."
        )
    return Int8Form(int(asked))


def runs_here(form: Int8Form) -> bool:
    """Whether this processor computes such a model correctly."""
    return (form.bits == 7 or adds_exactly()) and (not form.own_operators or has_int8_operators())
