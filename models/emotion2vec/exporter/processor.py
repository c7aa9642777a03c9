"""What this processor can compute: how many bits int8's weights may have, and bf16.

ONNX Runtime multiplies unsigned 8-bit activations by signed weights. x86 processors without VNNI add two such products
in 16 bits and saturate: 2 * 255 * 127 does not fit, 2 * 255 * 63 does. With VNNI, and on ARM, sums have 32 bits.
"""

import platform
from pathlib import Path

from .errors import ExportError

BITS = (7, 8)
X86 = {"x86_64", "amd64", "i386", "i586", "i686"}
# Linux' names of VNNI: the instructions for 512-bit registers, and the later ones for 256-bit registers.
VNNI = {"avx512_vnni", "avx_vnni"}
# All of them: as crates/speech/src/model/bf16/product.rs asks.
BF16 = {"avx512f", "avx512bw", "avx512vl", "avx512_bf16"}


def adds_exactly(machine: str | None = None, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether sums of 8-bit products can't saturate. An x86 processor that can't be asked is taken for an old one."""
    if (machine or platform.machine()).lower() not in X86:
        return True
    flags = _flags(cpuinfo)
    return bool(flags) and all(VNNI & each for each in flags)


def has_bf16(machine: str | None = None, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the worker's operators in bf16 run here."""
    flags = _flags(cpuinfo) if (machine or platform.machine()).lower() in X86 else []
    return bool(flags) and all(each >= BF16 for each in flags)


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


def weight_bits(asked: str) -> int:
    """The number of bits for `auto`, `7` or `8`. Raises `ExportError` where this processor can't run it correctly."""
    exact = adds_exactly()
    if asked == "auto":
        return 8 if exact else 7
    if asked == "8" and not exact:
        raise ExportError(
            "8-bit weights need a processor with VNNI (avx512_vnni or avx_vnni in /proc/cpuinfo), and this one has "
            "none: sums would saturate in the measurement here, and workers here would refuse the model. "
            "Use --int8-bits 7, or export on a processor with VNNI."
        )
    return int(asked)
