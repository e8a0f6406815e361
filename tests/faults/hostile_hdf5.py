"""HDF5 files that are made to harm."""

import os
import pickle
from pathlib import Path

import h5py
import numpy as np

from tests.faults.hostile_arrays import npy_bytes
from tests.faults.hostile_table import RunsCode, hostile


def honest_hdf5(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["u"] = np.random.default_rng(0).normal(size=(3, 4, 8, 8)).astype(np.float32)
    return path


@hostile("cannot be read as HDF5")
def truncated_hdf5(folder, secret):
    path = honest_hdf5(folder / "a.h5")
    os.truncate(path, path.stat().st_size - 500)
    return path


@hostile("link into another file")
def external_link(folder, secret):
    with h5py.File(folder / "a.h5", "w") as file:
        file["u"] = h5py.ExternalLink(str(secret), "/u")
    return folder / "a.h5"


@hostile("link into another file")
def external_link_in_the_middle(folder, secret):
    with h5py.File(folder / "a.h5", "w") as file:
        file["t0_fields"] = h5py.ExternalLink(str(secret), "/")
        file["u"] = h5py.SoftLink("/t0_fields/u")
    return folder / "a.h5"


@hostile("leaves the file")
def soft_link_through_an_external_link(folder, secret):
    with h5py.File(folder / "a.h5", "w") as file:
        file["a"] = h5py.SoftLink("/z/u")
        file["z"] = h5py.ExternalLink(str(secret), "/")
    return folder / "a.h5"


@hostile("lie in another file")
def external_storage(folder, secret):
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("u", (64,), "u1", external=[(str(secret), 0, 64)])
    return folder / "a.h5"


@hostile("virtual dataset")
def virtual_dataset(folder, secret):
    layout = h5py.VirtualLayout((3, 8), "f4")
    layout[:] = h5py.VirtualSource(str(secret), "u", (3, 8))
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_virtual_dataset("u", layout)
    return folder / "a.h5"


@hostile("virtual dataset")
def virtual_dataset_with_a_pattern_of_names(folder, secret):
    unlimited = h5py.h5s.UNLIMITED
    space = h5py.h5s.create_simple((1, 8), (unlimited, 8))
    space.select_hyperslab((0, 0), (unlimited, 1), stride=(1, 8), block=(1, 8))
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    pattern = f"{secret.parent}/secret%b.h5".encode()
    layout.set_virtual(space, pattern, b"u", h5py.h5s.create_simple((1, 8)))
    with h5py.File(folder / "a.h5", "w") as file:
        space = h5py.h5s.create_simple((1, 8), (unlimited, 8))
        h5py.h5d.create(file.id, b"u", h5py.h5t.NATIVE_FLOAT, space, layout)
    return folder / "a.h5"


@hostile("4 TB declared")
def declared_terabytes(folder, secret):
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("u", (10**6, 10**6), "f4", chunks=(64, 64))
    return folder / "a.h5"


@hostile("far larger than what is stored")
def contiguous_without_storage(folder, secret):
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("u", (10**12,), "f4")
    return folder / "a.h5"


@hostile("do not fit into memory")
def chunks_of_gigabytes(folder, secret):
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("u", (2**14, 2**14), "f8", chunks=(2**14, 2**14), compression="gzip")
    return folder / "a.h5"


@hostile("too large")
def attribute_of_megabytes(folder, secret):
    with h5py.File(folder / "a.h5", "w", libver="latest") as file:
        file["u"] = np.zeros(3)
        file["u"].attrs["padding"] = np.zeros(2**20)
    return folder / "a.h5"


@hostile("goes round")
def soft_link_loop(folder, secret):
    with h5py.File(folder / "a.h5", "w") as file:
        file["a"], file["b"] = h5py.SoftLink("/b"), h5py.SoftLink("/a")
    return folder / "a.h5"


@hostile("leads to a group")
def soft_link_to_its_own_group(folder, secret):
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_group("g")["again"] = h5py.SoftLink("/g")
    return folder / "a.h5"


@hostile("reached by two ways")
def hard_link_cycle(folder, secret):
    with h5py.File(folder / "a.h5", "w") as file:
        inner = file.create_group("g/h")
        inner["up"] = file["g"]
    return folder / "a.h5"


@hostile("reached by two ways")
def doubling_hard_links(folder, secret):
    with h5py.File(folder / "a.h5", "w") as file:
        group = file
        for _ in range(30):
            inner = group.create_group("left")
            group["right"] = inner
            group = inner
    return folder / "a.h5"


@hostile("too many objects")
def too_many_groups(folder, secret):
    with h5py.File(folder / "a.h5", "w", libver="latest") as file:
        for number in range(50_001):
            file.id.links.create_soft(b"n%d" % number, b"/u")
    return folder / "a.h5"


@hostile("nested too deeply")
def deep_groups(folder, secret):
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_group("/".join(["g"] * 500))["u"] = np.zeros(3)
    return folder / "a.h5"


@hostile(r"filter 32015 \(zstd\)")
def unknown_filter(folder, secret):
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_chunk((8,))
    layout.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
    with h5py.File(folder / "a.h5", "w") as file:
        space = h5py.h5s.create_simple((64,))
        h5py.h5d.create(file.id, b"u", h5py.h5t.NATIVE_FLOAT, space, layout)
    return folder / "a.h5"


@hostile("references to other objects")
def datasets_of_references(folder, secret):
    with h5py.File(folder / "a.h5", "w") as file:
        file["u"] = np.zeros(3)
        file.create_dataset("cell", data=[file["u"].ref], dtype=h5py.ref_dtype)
    return folder / "a.h5"


@hostile("lists of varying length")
def ragged_dataset(folder, secret):
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("u", (3,), h5py.vlen_dtype(np.float64))
    return folder / "a.h5"


@hostile("opaque bytes")
def pickle_in_an_opaque_dataset(folder, secret):
    content = pickle.dumps(RunsCode(secret))
    with h5py.File(folder / "a.h5", "w") as file:
        file["u"] = np.void(content)
    return folder / "a.h5"


@hostile("holds records")
def records_in_hdf5(folder, secret):
    with h5py.File(folder / "a.h5", "w") as file:
        file["u"] = np.zeros(3, [("a", "f4"), ("b", "i8")])
    return folder / "a.h5"


@hostile("link into another file")
def hidden_without_a_suffix(folder, secret):
    path = external_link(folder, secret)
    return path.rename(folder / "a").parent


@hostile("link into another file")
def hdf5_behind_another_beginning(folder, secret):
    with h5py.File(folder / "a.npy", "w", userblock_size=512) as file:
        file["u"] = h5py.ExternalLink(str(secret), "/u")
    content = bytearray((folder / "a.npy").read_bytes())
    honest = npy_bytes(np.zeros(8))
    content[: len(honest)] = honest
    (folder / "a.npy").write_bytes(content)
    return folder / "a.npy"
