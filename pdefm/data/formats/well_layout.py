"""What a file in The Well's specification holds: names, shapes and what varies with what.

Source: github.com/PolymathicAI/the_well, docs/data_format.md.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from pdefm.data.formats.hdf5_file import HdfNode, as_names, as_text
from pdefm.errors import DataError

FIELD_GROUPS = ("t0_fields", "t1_fields", "t2_fields")


@dataclass(frozen=True)
class StoredArray:
    """One dataset and the axes it has: ``[sample][time][space that varies][component ...]``.

    Args:
        key: Path in the file.
        names: Names of the channels that it fills.
        unit: Unit of all of them.
        sample_varying: Whether it has a sample axis.
        time_varying: Whether it has a time axis.
        dim_varying: Per space axis, whether it varies along it; empty for scalars.
    """

    key: str
    names: tuple[str, ...]
    unit: str
    sample_varying: bool
    time_varying: bool
    dim_varying: tuple[bool, ...] = ()


@dataclass(frozen=True)
class WellLayout:
    """Everything about a file that is needed before data are read."""

    num_trajectories: int
    num_frames: int
    axis_names: tuple[str, ...]
    shape: tuple[int, ...]
    fields: tuple[StoredArray, ...] = ()
    constants: tuple[StoredArray, ...] = ()
    scalars: tuple[StoredArray, ...] = ()
    channel_order: tuple[int, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Channel names in the order of a trajectory."""
        stored = [name for array in self.fields for name in array.names]
        return tuple(stored[i] for i in self.channel_order)

    @property
    def units(self) -> tuple[str, ...]:
        """Units in the order of a trajectory."""
        stored = [array.unit for array in self.fields for _ in array.names]
        return tuple(stored[i] for i in self.channel_order)

    @property
    def places(self) -> tuple[int, ...]:
        """Channel of a trajectory that each stored channel becomes."""
        return tuple(self.channel_order.index(i) for i in range(len(self.channel_order)))

    @property
    def constant_names(self) -> tuple[str, ...]:
        """Names of the coefficients that do not change in time."""
        return tuple(name for array in self.constants for name in array.names)


def read_layout(file: HdfNode, where: str) -> WellLayout:
    """Read names and shapes, forgiving what files in the wild leave out.

    Missing ``sample_varying`` and ``time_varying`` follow from the shape. Fields that never vary
    in time become constants, unless nothing varies in time: then they are one steady frame.

    Raises:
        DataError: Shapes that fit neither the attributes nor each other.
    """
    dimensions = file["dimensions"]
    axis_names = as_names(dimensions.attrs["spatial_dims"])
    sizes = WellLayout(
        num_trajectories=int(file.attrs["n_trajectories"]),
        num_frames=int(dimensions["time"].shape[-1]) if "time" in dimensions else 1,
        axis_names=axis_names,
        shape=tuple(int(dimensions[name].shape[-1]) for name in axis_names),
    )
    arrays = [
        _stored_field(file[group][name], order, sizes, where)
        for order, group in enumerate(FIELD_GROUPS)
        for name in _field_names(file, group)
    ]
    if not arrays:
        raise DataError(
            f"{where}: no fields",
            got="empty t0_fields, t1_fields and t2_fields",
            do="Check that the file was written to its end",
        )
    steady = not any(array.time_varying for array in arrays)
    fields = tuple(array for array in arrays if array.time_varying or steady)
    return WellLayout(
        num_trajectories=sizes.num_trajectories,
        num_frames=1 if steady else sizes.num_frames,
        axis_names=axis_names,
        shape=sizes.shape,
        fields=fields,
        constants=() if steady else tuple(a for a in arrays if not a.time_varying),
        scalars=tuple(
            _stored_scalar(file["scalars"][name], sizes, where)
            for name in _field_names(file, "scalars")
        ),
        channel_order=_channel_order(file, fields),
    )


def _field_names(file: HdfNode, group: str) -> tuple[str, ...]:
    if group not in file:
        return ()
    return as_names(file[group].attrs.get("field_names", list(file[group])))


def _channel_order(file: HdfNode, fields: tuple[StoredArray, ...]) -> tuple[int, ...]:
    stored = [name for array in fields for name in array.names]
    wanted = as_names(file.attrs.get("channel_names"))
    if sorted(wanted) != sorted(stored):
        return tuple(range(len(stored)))
    return tuple(stored.index(name) for name in wanted)


def _stored_field(data: HdfNode, order: int, sizes: WellLayout, where: str) -> StoredArray:
    key = data.name.lstrip("/")
    varies = data.attrs.get("dim_varying", np.ones(len(sizes.shape), bool))
    dim_varying = tuple(bool(v) for v in np.atleast_1d(varies))
    if len(dim_varying) != len(sizes.shape):
        raise DataError(
            f"{where}: {key} needs dim_varying for {len(sizes.shape)} axes",
            got=list(dim_varying),
            do="Check the file against The Well's specification",
        )
    components = (len(sizes.shape),) * order
    pairs = list(zip(sizes.shape, dim_varying, strict=True))
    # A dimension that does not vary is left out, or kept with a single point.
    kept = tuple(n if v else 1 for n, v in pairs) + components
    left_out = tuple(n for n, v in pairs if v) + components
    shape = tuple(data.shape)
    trailing = kept if shape[len(shape) - len(kept) :] == kept else left_out
    if shape[len(shape) - len(trailing) :] != trailing:
        raise DataError(
            f"{where}: {key} must end with the axes {list(left_out)} of space and components",
            got=list(shape),
            do="Check the file against The Well's specification",
        )
    sample, time = _what_varies(data, shape[: len(shape) - len(trailing)], sizes, where)
    suffixes = ["".join(axes) for axes in product(sizes.axis_names, repeat=order)]
    name = key.partition("/")[2]
    return StoredArray(
        key=key,
        names=tuple(f"{name}_{suffix}" if suffix else name for suffix in suffixes),
        unit=as_text(data.attrs.get("units", "unknown")),
        sample_varying=sample,
        time_varying=time,
        dim_varying=dim_varying,
    )


def _stored_scalar(data: HdfNode, sizes: WellLayout, where: str) -> StoredArray:
    key = data.name.lstrip("/")
    shape = tuple(data.shape)
    # A scalar may also be kept as an array of one.
    one = shape == (1,) and not data.attrs.get("sample_varying", sizes.num_trajectories == 1)
    if one and not data.attrs.get("time_varying", False):
        sample, time = False, False
    else:
        sample, time = _what_varies(data, shape, sizes, where)
    return StoredArray(
        key=key,
        names=(key.partition("/")[2],),
        unit=as_text(data.attrs.get("units", "unknown")),
        sample_varying=sample,
        time_varying=time,
    )


def _what_varies(
    data: HdfNode, leading: tuple[int, ...], sizes: WellLayout, where: str
) -> tuple[bool, bool]:
    """Whether the leading axes are sample and time, from the attributes or else the lengths."""
    length = {(True, True): (sizes.num_trajectories, sizes.num_frames), (False, False): ()}
    length |= {(True, False): (sizes.num_trajectories,), (False, True): (sizes.num_frames,)}
    fits = [
        varies
        for varies, expected in length.items()
        if leading == expected
        and data.attrs.get("sample_varying", varies[0]) == varies[0]
        and data.attrs.get("time_varying", varies[1]) == varies[1]
    ]
    if len(fits) != 1:
        what = "ambiguous, add the attributes" if fits else "do not fit"
        raise DataError(
            f"{where}: leading axes of {data.name.lstrip('/')} {what}; the file has "
            f"{sizes.num_trajectories} trajectories of {sizes.num_frames} frames, "
            f"sample_varying={data.attrs.get('sample_varying')}, "
            f"time_varying={data.attrs.get('time_varying')}",
            got=list(leading),
            do="Check the file against The Well's specification",
        )
    return fits[0]
