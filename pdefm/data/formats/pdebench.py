"""PDEBench's HDF5 files, which come in three layouts."""

from collections.abc import Sequence
from functools import cached_property

from pdefm.data.formats.hdf5_collection import Hdf5Collection
from pdefm.data.formats.hdf5_file import HdfNode
from pdefm.data.formats.pdebench_flat import FlatLayout
from pdefm.data.formats.pdebench_groups import SeedGroupLayout
from pdefm.data.formats.pdebench_incompressible import IncompressibleLayout
from pdefm.data.formats.pdebench_layout import PDEBenchLayout
from pdefm.data.trajectory import Trajectory
from pdefm.errors import DataError

LAYOUTS: tuple[type[PDEBenchLayout], ...] = (FlatLayout, IncompressibleLayout, SeedGroupLayout)


class PDEBenchFile(Hdf5Collection):
    """One file of PDEBench: a dataset a field, a group a seed, or long incompressible runs.

    Layout and equation are told by datasets and attributes, not by the name of the file, since
    downloads arrive as a bare number. Most files do not say their boundary conditions: they are
    those that the equation is published with, and ``--boundary`` overrides them. Runs that crashed
    are zeros on disk and read as such.

    Source: Takamoto et al. (2022), PDEBench, arXiv:2210.07182; doi:10.18419/darus-2986.
    """

    format = "pdebench"
    licence = "CC BY 4.0"

    @classmethod
    def recognise_file(cls, file: HdfNode) -> str | None:
        """Why one of the three layouts fits."""
        return next((reason for layout in LAYOUTS if (reason := layout.explain(file))), None)

    @cached_property
    def _layout(self) -> PDEBenchLayout:
        file, where = self._hdf5.file, str(self.path)
        for layout in LAYOUTS:
            if layout.explain(file):
                return layout(file, where)
        raise DataError(
            f"{where}: is in none of PDEBench's layouts",
            got=", ".join(map(str, list(file)[:8])) or "an empty file",
            do="Leave out --format, or read it with --format arrays and --axes",
        )

    def frame_counts(self, file: HdfNode) -> Sequence[int]:
        """Number of frames of each trajectory."""
        return self._layout.frame_counts

    def read_frames(self, file: HdfNode, index: int, start: int, stop: int) -> Trajectory:
        """Frames of one trajectory as the file describes them."""
        return self._layout.read(file, index, start, stop)

    def data_keys(self, file: HdfNode) -> Sequence[str]:
        """Datasets that hold the fields, of the first trajectory if each has its own."""
        return self._layout.keys
