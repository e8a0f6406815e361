"""Stores, folders, pipes and other things that are made to harm."""

import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np

from tests.faults.hostile_table import RunsCode, hostile


def store(folder: Path, version: int = 2, **changes: object) -> Path:
    path = folder / "a.zarr"
    path.mkdir()
    old = {
        **{"zarr_format": 2, "shape": [3, 8], "chunks": [3, 8], "dtype": "<f4", "order": "C"},
        **{"compressor": None, "filters": None, "fill_value": 0},
    }
    new = {
        **{"zarr_format": 3, "node_type": "array", "shape": [3, 8], "data_type": "float32"},
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [3, 8]}},
        "chunk_key_encoding": {"name": "default"},
        **{"codecs": [{"name": "bytes"}], "fill_value": 0, "attributes": {}},
    }
    document = (old if version == 2 else new) | changes
    (path / (".zarray" if version == 2 else "zarr.json")).write_text(json.dumps(document))
    (path / "0.0").write_bytes(bytes(96))
    return path


@hostile("web page")
def web_page(folder, secret):
    (folder / "a.h5").write_bytes(b"\n<!DOCTYPE html><html><body>Sign in</body></html>")
    return folder / "a.h5"


@hostile("tar archive")
def tar_archive(folder, secret):
    import tarfile

    with tarfile.open(folder / "a.nc", "w") as archive:
        archive.add(secret, "../../escape")
    return folder / "a.nc"


@hostile("not a file of data: got a pipe")
def pipe(folder, secret):
    os.mkfifo(folder / "a.h5")
    return folder / "a.h5"


@hostile("got a device")
def link_to_a_device(folder, secret):
    (folder / "a.npy").symlink_to("/dev/zero")
    return folder / "a.npy"


@hostile("got a pipe")
def folder_with_a_pipe(folder, secret):
    np.save(folder / "a.npy", np.zeros((3, 8)))
    os.mkfifo(folder / "b.npy")
    return folder


@hostile("cannot be reached")
def folder_with_a_dangling_link(folder, secret):
    np.save(folder / "a.npy", np.zeros((3, 8)))
    (folder / "b.npy").symlink_to(folder / "nowhere")
    return folder


@hostile("too large for a .json file")
def sidecar_of_megabytes(folder, secret):
    np.save(folder / "u.npy", np.zeros((3, 8)))
    with (folder / "case.json").open("wb") as file:
        file.truncate(2**24 + 1)
    return folder


@hostile("run code when they are loaded: got codec 'pickle'")
def zarr_pickle_filter(folder, secret):
    path = store(folder, dtype="|O", filters=[{"id": "pickle"}])
    (path / "0.0").write_bytes(pickle.dumps(RunsCode(secret)))
    return path


@hostile("needs an unknown codec")
def zarr_codec_from_elsewhere(folder, secret):
    return store(folder, 3, codecs=[{"name": "bytes"}, {"name": "os.system", "configuration": {}}])


@hostile("run code when they are loaded")
def zarr_pickle_inside_a_shard(folder, secret):
    inner = [{"name": "numcodecs.pickle"}]
    shape = {"chunk_shape": [1, 8], "codecs": inner, "index_codecs": [{"name": "bytes"}]}
    return store(folder, 3, codecs=[{"name": "sharding_indexed", "configuration": shape}])


@hostile("holds objects or records")
def zarr_objects(folder, secret):
    return store(folder, dtype="|O")


@hostile("declared far larger")
def zarr_of_terabytes(folder, secret):
    return store(folder, shape=[10**6, 10**6], chunks=[1000, 1000])


@hostile("too many chunks")
def zarr_of_many_chunks(folder, secret):
    return store(folder, shape=[10**5, 10**5], chunks=[1, 1])


@hostile("do not fit into memory")
def zarr_chunks_of_gigabytes(folder, secret):
    return store(folder, shape=[10**5, 10**5], chunks=[10**5, 10**5])


@hostile("is not a plain file: got a link")
def zarr_link_out_of_the_store(folder, secret):
    path = store(folder)
    (path / "0.1").symlink_to(secret)
    return path


@hostile("is not a plain file: got a pipe")
def zarr_pipe(folder, secret):
    path = store(folder)
    os.mkfifo(path / "0.1")
    return path


@hostile("leads out of the store")
def zarr_key_that_escapes(folder, secret):
    path = store(folder)
    listed = {"metadata": {"../../secret/.zarray": {}}, "zarr_consolidated_format": 1}
    (path / ".zmetadata").write_text(json.dumps(listed))
    return path


@hostile("metadata are damaged")
def zarr_nested_json(folder, secret):
    path = store(folder)
    (path / ".zarray").write_text('{"a":' * 100_000)
    return path


@hostile("run code when they are loaded")
def zipped_zarr_with_a_pickle(folder, secret):
    inner = zarr_pickle_filter(folder, secret)
    with zipfile.ZipFile(folder / "b.zarr.zip", "w") as archive:
        for part in inner.iterdir():
            archive.write(part, part.name)
    return folder / "b.zarr.zip"
