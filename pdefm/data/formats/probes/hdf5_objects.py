"""Single datasets and attributes of an HDF5 file."""

import math
from typing import Any

from pdefm.data.formats.probes import (
    IF_TRUSTED,
    MAX_CHUNK,
    MAX_TEXT,
    Refused,
    check_declared,
    in_words,
    printable,
)

GZIP, SHUFFLE, FLETCHER32, SZIP, NBIT, SCALE_OFFSET, LZF = 1, 2, 3, 4, 5, 6, 32000
ALLOWED_FILTERS = {GZIP, SHUFFLE, FLETCHER32, SZIP, NBIT, SCALE_OFFSET, LZF}
COMPRESSORS = {GZIP, SZIP, LZF}
KNOWN_FILTERS = {
    **{307: "bzip2", 32001: "blosc", 32004: "lz4", 32008: "bitshuffle", 32013: "zfp"},
    **{32015: "zstd", 32017: "sz", 32024: "sz3", 32026: "blosc2"},
}

MAX_ATTRIBUTES = 4096
MAX_RANK = 16
MAX_STRINGS = 100_000
TRIAL_CHUNK = 2**22


def library() -> Any:
    """h5py; its low-level modules have no types."""
    import h5py

    return h5py


def check_dataset(dataset: Any, where: str) -> None:
    """Layout, filters, type and sizes of one dataset; then its first number is read.

    Raises:
        Refused: Anything a reader of fields must not touch.
    """
    layout = dataset.get_create_plist()
    _check_layout(layout, where)
    _check_filters(layout, where)
    shape, is_text = tuple(dataset.shape or ()), _check_type(dataset.get_type(), where)
    itemsize = dataset.get_type().get_size()
    if len(shape) > MAX_RANK:
        raise Refused(f"dataset '{printable(where)}' has too many axes", str(len(shape)))
    stored = dataset.get_storage_size()
    check_declared(f"dataset '{printable(where)}'", shape, itemsize, stored)
    if is_text and math.prod(shape) > MAX_STRINGS:
        raise Refused(
            f"dataset '{printable(where)}' holds too many texts",
            f"shape {shape}",
            IF_TRUSTED,
        )
    _read_first(dataset, layout, shape, itemsize, where)


def _check_layout(layout: Any, where: str) -> None:
    h5 = library()

    if layout.get_layout() == h5.h5d.VIRTUAL:
        raise Refused(
            f"'{printable(where)}' is a virtual dataset made of other files",
            do=f"Copy the data into one file. {IF_TRUSTED}",
        )
    if layout.get_external_count():
        raise Refused(
            f"the values of '{printable(where)}' lie in another file",
            printable(layout.get_external(0)[0]),
            f"Copy the data into one file. {IF_TRUSTED}",
        )


def _check_filters(layout: Any, where: str) -> None:
    h5 = library()

    codes = [layout.get_filter(i)[0] for i in range(layout.get_nfilters())]
    for code in codes:
        if code not in ALLOWED_FILTERS or not h5.h5z.filter_avail(code):
            raise Refused(
                f"'{printable(where)}' needs a compression filter that HDF5 itself does not have",
                f"filter {code} ({KNOWN_FILTERS.get(code, 'unknown')})",
                "Store it again with gzip, as in h5repack -f GZIP=1 OLD NEW",
            )
    if len(codes) > len(set(codes)) or len(COMPRESSORS & set(codes)) > 1:
        raise Refused(f"'{printable(where)}' is compressed more than once", f"filters {codes}")


def _check_type(kind: Any, where: str) -> bool:
    """Numbers and text; True for text."""
    h5 = library()

    code = kind.get_class()
    if code == h5.h5t.STRING:
        if kind.get_size() > MAX_TEXT:
            raise Refused(f"'{printable(where)}' holds too long texts", in_words(kind.get_size()))
        return True
    names = {
        h5.h5t.OPAQUE: "opaque bytes",
        h5.h5t.VLEN: "lists of varying length",
        h5.h5t.REFERENCE: "references to other objects",
        h5.h5t.COMPOUND: "records",
        h5.h5t.ARRAY: "arrays as elements",
        h5.h5t.TIME: "times of an old type",
    }
    is_complex = code == h5.h5t.COMPOUND and kind.dtype.kind == "c"
    if code in names and not is_complex:
        raise Refused(
            f"dataset '{printable(where)}' holds {names[code]}",
            printable(str(kind.dtype)) if code != h5.h5t.TIME else None,
            f"Fields must be plain numbers. {IF_TRUSTED}",
        )
    if kind.dtype.kind not in "fiubc":
        raise Refused(f"dataset '{printable(where)}' holds no numbers", str(kind.dtype))
    return False


def _read_first(
    dataset: Any, layout: Any, shape: tuple[int, ...], itemsize: int, where: str
) -> None:
    """Read one element, so that a chunk that breaks the library breaks this process."""
    h5 = library()

    if layout.get_layout() == h5.h5d.CHUNKED:
        chunk = layout.get_chunk()
        size = math.prod(chunk) * itemsize
        if size > MAX_CHUNK:
            raise Refused(
                f"'{printable(where)}' has chunks that do not fit into memory",
                f"chunks of {chunk}, {in_words(size)}",
                f"Store it again with smaller chunks. {IF_TRUSTED}",
            )
        dataset.get_num_chunks()
        if size > TRIAL_CHUNK:
            return
    if dataset.get_space().get_simple_extent_npoints():
        h5.Dataset(dataset)[(0,) * len(shape)]


def check_attributes(node: Any, where: str) -> None:
    """Decode every attribute; the library is known to hang on damaged ones.

    Raises:
        Refused: Too many or too large attributes, or ones that refer elsewhere.
    """
    h5 = library()

    count = h5.h5a.get_num_attrs(node)
    if count > MAX_ATTRIBUTES:
        raise Refused(f"'{printable(where)}' has too many attributes", f"{count:,}", IF_TRUSTED)
    if not count:
        return
    owner = h5.Dataset(node) if isinstance(node, h5.h5d.DatasetID) else h5.Group(node)
    values = h5.AttributeManager(owner)
    for index in range(count):
        attribute = h5.h5a.open(node, index=index)
        size = attribute.get_space().get_simple_extent_npoints() * attribute.get_type().get_size()
        if size > MAX_TEXT:
            raise Refused(
                f"attribute '{printable(attribute.name)}' of '{printable(where)}' is too large",
                in_words(size),
                IF_TRUSTED,
            )
        _follow(values[attribute.name], owner)


def _follow(value: Any, owner: Any) -> None:
    """Ask what the references of NetCDF's dimension lists lead to, as its readers do."""
    h5 = library()

    values = [value]
    while values:
        item = values.pop()
        if isinstance(item, h5.Reference):
            if item:
                h5.h5r.get_obj_type(item, owner.id)
        elif hasattr(item, "dtype") and item.dtype.hasobject and hasattr(item, "ravel"):
            values.extend(item.ravel().tolist() if item.dtype.names is None else [])
