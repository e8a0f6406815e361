"""Arrays, archives, pickles, MATLAB and NetCDF-3 files that are made to harm."""

import io
import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np

from tests.faults.hostile_table import RunsCode, hostile


def netcdf_classic(path: Path) -> Path:
    from scipy.io import netcdf_file

    with netcdf_file(path, "w") as file:
        for name, length in (("time", 3), ("x", 16)):
            file.createDimension(name, length)
        file.createVariable("u", "f4", ("time", "x"))[:] = 1.0
    return path


def npy_bytes(array: np.ndarray) -> bytes:
    kept = io.BytesIO()
    np.save(kept, array)
    return kept.getvalue()


def _mat(path: Path, elements: bytes) -> Path:
    head = b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + b"\x00\x01IM"
    path.write_bytes(head + elements)
    return path


@hostile("cut off")
def truncated_npy(folder, secret):
    np.save(folder / "a.npy", np.zeros((30, 8)))
    os.truncate(folder / "a.npy", 500)
    return folder / "a.npy"


@hostile("damaged or incomplete")
def truncated_npz(folder, secret):
    np.savez(folder / "a.npz", u=np.zeros((30, 8)))
    os.truncate(folder / "a.npz", 900)
    return folder / "a.npz"


@hostile("cut off")
def truncated_mat(folder, secret):
    from scipy.io import savemat

    savemat(folder / "a.mat", {"u": np.ones((30, 8))})
    os.truncate(folder / "a.mat", 900)
    return folder / "a.mat"


@hostile("cut off")
def truncated_netcdf_classic(folder, secret):
    path = netcdf_classic(folder / "a.nc")
    os.truncate(path, path.stat().st_size - 100)
    return path


@hostile("compressed more than once")
def gzip_in_gzip(folder, secret):
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_chunk((1024,))
    layout.set_deflate(9)
    layout.set_deflate(9)
    with h5py.File(folder / "a.h5", "w") as file:
        space = h5py.h5s.create_simple((1024,))
        h5py.h5d.create(file.id, b"u", h5py.h5t.NATIVE_FLOAT, space, layout)
    return folder / "a.h5"


@hostile("claims a size that its compression cannot reach")
def zip_bomb_by_lie(folder, secret):
    path = folder / "a.npz"
    np.savez_compressed(path, u=np.zeros(1000))
    content = bytearray(path.read_bytes())
    place = content.rfind(b"PK\x01\x02")
    content[place + 24 : place + 28] = struct.pack("<I", 2**31)
    path.write_bytes(content)
    return path


@hostile("overlaps")
def zip_bomb_by_overlap(folder, secret):
    path = folder / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("u.npy", "v.npy"):
            archive.writestr(name, npy_bytes(np.zeros(64)))
    content = bytearray(path.read_bytes())
    place = content.rfind(b"PK\x01\x02")
    content[place + 42 : place + 46] = struct.pack("<I", 0)
    path.write_bytes(content)
    return path


@hostile("declared far larger")
def npy_of_terabytes(folder, secret):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    (folder / "a.npy").write_bytes(content)
    return folder / "a.npy"


@hostile("header is damaged")
def npy_header_of_megabytes(folder, secret):
    header = b"{'descr': '<f4', 'shape': (" + b"(" * 200_000
    content = b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header
    (folder / "a.npy").write_bytes(content)
    return folder / "a.npy"


@hostile("cannot reach")
def mat_bomb(folder, secret):
    packed = zlib.compress(struct.pack("<II", 14, 2**31) + bytes(1000))
    return _mat(folder / "a.mat", struct.pack("<II", 15, len(packed)) + packed)


@hostile("bytes for shape")
def mat_shape_that_lies(folder, secret):
    inner = struct.pack("<IIII", 6, 8, 6, 0) + struct.pack("<IIii", 5, 8, 2**30, 2**30)
    inner += struct.pack("<HH4s", 1, 1, b"u") + struct.pack("<II8s", 9, 8, b"")
    return _mat(folder / "a.mat", struct.pack("<II", 14, len(inner)) + inner)


@hostile("cut off")
def netcdf_records_that_are_not_there(folder, secret):
    path = netcdf_classic(folder / "a.nc")
    content = bytearray(path.read_bytes())
    place = content.find(b"time") + 4
    content[place : place + 4] = struct.pack(">i", 100_000)
    path.write_bytes(content)
    return path


@hostile("run code when they are loaded")
def pickle_in_npy(folder, secret):
    np.save(folder / "a.npy", np.array([RunsCode(secret)], object), allow_pickle=True)
    return folder / "a.npy"


@hostile("run code when they are loaded")
def pickle_in_npz(folder, secret):
    np.savez(folder / "a.npz", u=np.zeros(3), v=np.array([RunsCode(secret)], object))
    return folder / "a.npz"


@hostile("is not a NumPy array")
def pickle_as_a_member_of_npz(folder, secret):
    with zipfile.ZipFile(folder / "a.npz", "w") as archive:
        archive.writestr("u.npy", npy_bytes(np.zeros(3)))
        archive.writestr("v.pkl.txt", pickle.dumps(RunsCode(secret)))
    return folder / "a.npz"


@hostile("leads out of the archive")
def archive_that_escapes(folder, secret):
    with zipfile.ZipFile(folder / "a.npz", "w") as archive:
        archive.writestr("../../escape.npy", npy_bytes(np.zeros(3)))
    return folder / "a.npz"


@hostile("two members have one name")
def archive_with_twins(folder, secret):
    with zipfile.ZipFile(folder / "a.npz", "w") as archive:
        archive.writestr("u.npy", npy_bytes(np.zeros(3)))
        archive.filelist[0].filename = "v.npy"
        archive.NameToInfo.clear()
        archive.writestr("v.npy", npy_bytes(np.zeros(3)))
    return folder / "a.npz"


@hostile("is encrypted")
def encrypted_archive(folder, secret):
    path = folder / "a.npz"
    np.savez(path, u=np.zeros(3))
    content = bytearray(path.read_bytes())
    content[content.rfind(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    return path


@hostile("too many members")
def archive_of_many_members(folder, secret):
    with zipfile.ZipFile(folder / "a.npz", "w") as archive:
        for number in range(50_001):
            archive.writestr(f"{number}.npy", b"")
    return folder / "a.npz"


@hostile("import and run code: got [a-z_]+.open")
def pickle_in_pt(folder, secret):
    with zipfile.ZipFile(folder / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps(RunsCode(secret), protocol=2))
        archive.writestr("a/version", "3\n")
    return folder / "a.pt"


@hostile("import and run code")
def bare_pickle(folder, secret):
    (folder / "a.pt").write_bytes(pickle.dumps(RunsCode(secret), protocol=2))
    return folder / "a.pt"


@hostile("its pickle")
def old_pickle_without_a_signature(folder, secret):
    (folder / "a.pt").write_bytes(pickle.dumps(RunsCode(secret), protocol=0))
    return folder / "a.pt"


@hostile("instructions that no file of tensors needs")
def pickle_of_a_late_protocol(folder, secret):
    (folder / "a.pth").write_bytes(pickle.dumps(RunsCode(secret), protocol=4))
    return folder / "a.pth"


@hostile("TorchScript program")
def torchscript(folder, secret):
    with zipfile.ZipFile(folder / "a.pt", "w") as archive:
        for name in ("a/data.pkl", "a/constants.pkl", "a/code/__torch__.py"):
            archive.writestr(name, b"\x80\x02}q\x00.")
    return folder / "a.pt"


@hostile("missing or cut off")
def pt_storage_that_is_not_there(folder, secret):
    import torch

    torch.save({"u": torch.zeros(64)}, folder / "a.pt")
    kept = io.BytesIO()
    with zipfile.ZipFile(folder / "a.pt") as old, zipfile.ZipFile(kept, "w") as new:
        for member in old.infolist():
            kept_bytes = 10 if "/data/" in member.filename else None
            new.writestr(member.filename, old.read(member)[:kept_bytes])
    (folder / "a.pt").write_bytes(kept.getvalue())
    return folder / "a.pt"


@hostile("declared far larger")
def pt_of_terabytes(folder, secret):
    import torch

    torch.save({"u": torch.zeros(1).expand(10**6, 10**6)}, folder / "a.pt")
    return folder / "a.pt"


@hostile("is an opaque object|is an object|is a function")
def mat_object(folder, secret):
    from scipy.io import savemat

    savemat(folder / "a.mat", {"u": np.ones((3, 8))})
    content = bytearray((folder / "a.mat").read_bytes())
    content[128 + 16] = 17
    (folder / "a.mat").write_bytes(content)
    return folder / "a.mat"


@hostile("an element of type 99|of type 99")
def mat_tag_that_crashes_its_reader(folder, secret):
    from scipy.io import savemat

    savemat(folder / "a.mat", {"u": np.ones((3, 8))})
    content = bytearray((folder / "a.mat").read_bytes())
    content[128 + 24] = 99
    (folder / "a.mat").write_bytes(content)
    return folder / "a.mat"
