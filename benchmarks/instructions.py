"""Hold a process to AVX2 on a machine that has more, to compare with machines that have not.

Settings reach code that XLA compiles, PyTorch's own and MKL's. Most of XLA's matrix products are YNNPACK's, which asks
the processor and has no setting: what it was told is masked in the loaded library, by the symbols that `nm` finds.
"""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

SETTINGS = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
XLA_FLAGS = "--xla_cpu_max_isa=AVX2"
SEEN = "_ZN3ynn24get_supported_arch_flagsEv"  # ynn::get_supported_arch_flags()
KEPT = "_ZZN3ynn24get_supported_arch_flagsEvE5flags"  # what it keeps of its first answer
AVX2 = 0x7F  # of its flags: up to fma3; AVX-512 and AMX are above


def hold_ynnpack() -> None:
    """Leave YNNPACK nothing above AVX2 and FMA; before the first product.

    Raises:
        SystemExit: this jaxlib has no such symbols.
    """
    import jaxlib
    import jaxlib.xla_client  # loads the library

    library = Path(jaxlib.__file__).parent / "libjax_common.so"
    listed = subprocess.run(["nm", library], capture_output=True, text=True, check=True).stdout
    offsets = {line.split()[2]: int(line.split()[0], 16) for line in listed.splitlines() if line.endswith((SEEN, KEPT))}
    if {SEEN, KEPT} - set(offsets):
        raise SystemExit(f"{library}: YNNPACK's flags aren't found; its products can't be held to AVX2")
    maps = Path("/proc/self/maps").read_text().splitlines()
    base = min(int(line.split("-")[0], 16) for line in maps if line.endswith(library.name))
    seen = ctypes.CFUNCTYPE(ctypes.c_uint64)(base + offsets[SEEN])
    ctypes.c_uint64.from_address(base + offsets[KEPT]).value = seen() & AVX2
    if seen() & ~AVX2:
        raise SystemExit("YNNPACK still sees more than AVX2")
