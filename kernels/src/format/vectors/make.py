"""Writes the test vectors beside this file: blocks and the weights they stand for.

    pip install gguf==0.19.0 numpy==2.4.6 llama-cpp-python==0.3.36
    python make.py

The weights come from the `quants` module of the gguf package or, of Q1_0 and
Q2_0, which it does not know, from ggml: dequantizers with which this crate
shares no code. A file is named like its format and holds
the blocks, as in a model file, then all their weights as little-endian f32.

Blocks are random bytes, with scales that are ordinary numbers except for one
block whose scales are subnormal in binary16. Quants of all bits set and all
bits clear and, for Q6_K, the extreme sub-scales are forced once.
"""

import ctypes
from pathlib import Path

import llama_cpp
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGML_QUANT_SIZES, quants

# Offsets of a block's binary16 fields, and how many blocks.
FORMATS = {
    "f32": ((), 16),
    "f16": ((0,), 64),
    "bf16": ((), 64),
    "q4_0": ((0,), 6),
    "q4_1": ((0, 2), 6),
    "q5_0": ((0,), 6),
    "q5_1": ((0, 2), 6),
    "q8_0": ((0,), 6),
    "q2_k": ((80, 82), 3),
    "q3_k": ((108,), 3),
    "q4_k": ((0, 2), 3),
    "q5_k": ((0, 2), 3),
    "q6_k": ((208,), 3),
    "iq1_s": ((0,), 3),
    "iq1_m": ((), 3),
    "iq2_xxs": ((0,), 3),
    "iq2_xs": ((0,), 3),
    "iq2_s": ((0,), 3),
    "iq3_xxs": ((0,), 3),
    "iq3_s": ((0,), 3),
    "iq4_nl": ((0,), 6),
    "iq4_xs": ((0,), 3),
    "mxfp4": ((), 6),
    "q1_0": ((0,), 4),
    "q2_0": ((0,), 4),
    "tq1_0": ((52,), 3),
    "tq2_0": ((64,), 3),
}
# Weights and bytes of a block.
OF_GGML = {"q1_0": (128, 18), "q2_0": (64, 18)}


def blocks(name, random):
    """Bytes, [blocks, bytes of a block]."""
    fields, count = FORMATS[name]
    _, size = OF_GGML.get(name) or GGML_QUANT_SIZES[Type[name.upper()]]
    out = random.integers(0, 256, (count, size), dtype=np.uint8)
    if name == "f32":
        values = random.standard_normal((count, 1), dtype=np.float32)
        values[:4, 0] = (0.0, np.inf, 1e-45, -3.4e38)
        return values.view(np.uint8)
    if name in ("f16", "bf16"):
        # Any bits but infinity and NaN: exponents are made even.
        at, mask = (1, 0xFB) if name == "f16" else (0, 0x7F)
        out[:, at] &= mask
        return out
    if name == "mxfp4":
        # 255 is NaN to us and 2^127 to the gguf package: see mxfp4.rs.
        out[:, 0] = (0, 1, 2, 120, 127, 254)
    # The middle half of a block holds quants in every format.
    out[0, size // 4 : size // 2] = 0xFF
    out[0, size // 2 : size // 4 * 3] = 0x00
    if name == "q6_k":
        out[0, 192:194] = (0x80, 0x7F)
    for row in range(count):
        for at in fields:
            value = random.uniform(0.1, 2.0) * random.choice((-1, 1))
            if row == 1:
                value *= 2.0**-18
            out[row, at : at + 2] = np.array([value], np.float16).view(np.uint8)
    if name == "iq1_m":
        # The scale lies in the upper nibbles of four words.
        for row in range(count):
            value = random.uniform(0.1, 2.0) * 2.0 ** (-18 * (row == 1))
            bits = int(np.array([value], np.float16).view(np.uint16)[0])
            for i in range(4):
                upper = out[row, 49 + 2 * i]
                out[row, 49 + 2 * i] = upper & 0x0F | (bits >> (4 * i) & 15) << 4
    return out


def dequantized(name, data):
    if name not in OF_GGML:
        return quants.dequantize(data, Type[name.upper()])
    ggml = ctypes.CDLL(str(Path(llama_cpp.__file__).parent / "lib" / "libggml-base.so"))
    weights = np.zeros((len(data), OF_GGML[name][0]), np.float32)
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (data, weights)]
    getattr(ggml, f"dequantize_row_{name}")(*pointers, ctypes.c_int64(weights.size))
    return weights


for name in FORMATS:
    random = np.random.default_rng(list(name.encode()))
    data = blocks(name, random)
    with np.errstate(over="ignore"):  # 12 · 2^126 in MXFP4 is infinite to both
        weights = dequantized(name, data)
    assert weights.dtype == np.float32 and np.all(~np.isnan(weights)), name
    path = Path(__file__).parent / f"{name}.bin"
    path.write_bytes(data.tobytes() + weights.astype("<f4").tobytes())
