"""Rebuild the weights of a DPOT parity fixture from its seed, with numpy alone.

The reference weights were not drawn by torch: each tensor comes from numpy's frozen `RandomState`
stream, keyed by its own name, so `c_tiny_128.safetensors` needs to store only the seed and a
checksum (`weights_sha256`, taken over name + little-endian float32 bytes in sorted name order).
"""

import hashlib
import zlib

import numpy as np


def uniform(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Samples of U(-1, 1), float64, reproducible for ever (NEP 19)."""
    state = np.random.RandomState((zlib.crc32(name.encode()) ^ seed) & 0xFFFFFFFF)
    return (state.random_sample(int(np.prod(shape))) * 2.0 - 1.0).reshape(shape)


def rebuild(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The float32 tensor that the reference gave the original parameter `name`."""
    u = uniform(seed, name, shape)
    leaf = name.split(".")[-1]
    if leaf == "gamma":
        value = 2.0 ** np.linspace(-10, 10, shape[1])[None] * (1.0 + 0.05 * u)
    elif leaf == "pos_embed":
        value = 0.5 * u
    elif ".norm" in name and leaf == "weight":
        value = 1.0 + 0.3 * u
    elif leaf in ("b1", "b2", "bias"):
        value = 0.3 * u
    elif leaf in ("w1", "w2"):
        value = u * np.sqrt(3.0 / (2 * shape[2]))
    elif leaf == "w":
        value = u * np.sqrt(3.0 / (shape[0] * shape[1]))
    elif leaf == "weight" and len(shape) >= 4 and name.startswith("out_layer.0"):
        value = u * np.sqrt(3.0 / shape[0])
    elif leaf == "weight":
        value = u * np.sqrt(3.0 / int(np.prod(shape[1:])))
    else:
        raise KeyError(name)
    return value.astype(np.float32)


def checksum(weights: dict[str, np.ndarray]) -> str:
    """sha256 over sorted names and bytes, as `weights_sha256` in the file's metadata."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(weights[name]).tobytes())
    return digest.hexdigest()
