"""HDF5, and with it NetCDF-4 and MATLAB v7.3: a walk that looks before every step.

Every link is looked at before it is followed, so no external file is opened; virtual layout,
external storage and filters are looked at before the shape, because asking a virtual dataset for
its shape may already open its sources.

Source: HDF5 1.14 reference manual, H5L, H5P and H5O interfaces.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pdefm.data.formats.probes import DAMAGED, IF_TRUSTED, Refused, printable
from pdefm.data.formats.probes.hdf5_objects import check_attributes, check_dataset, library

SIGNATURE = b"\x89HDF\r\n\x1a\n"

MAX_OBJECTS = 50_000
MAX_DEPTH = 32
MAX_NAME = 1024
MAX_HOPS = 8


def has_signature(path: Path) -> bool:
    """Whether the HDF5 library would take the file: it also looks behind a block of the user's."""
    size = path.stat().st_size
    with path.open("rb") as file:
        offset = 0
        while offset < size:
            file.seek(offset)
            if file.read(len(SIGNATURE)) == SIGNATURE:
                return True
            offset = max(512, 2 * offset)
    return False


def check(path: Path) -> None:
    """Walk through all links of the file.

    Raises:
        Refused: References to other files, cycles, unknown filters or types, absurd sizes, damage.
    """
    try:
        with library().File(path, "r", locking=False) as file:
            _Walk(file.id).run()
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        message = printable(str(error.args[0] if error.args else error), 160)
        raise Refused(
            "cannot be read as HDF5, the file is damaged or incomplete", message, DAMAGED
        ) from error


class _Walk:
    """One pass over the groups, with an explicit stack."""

    def __init__(self, root: Any) -> None:
        h5 = library()

        self.root = h5.h5g.open(root, b"/")
        self.seen_groups: dict[tuple[int, int], str] = {}
        self.seen_datasets: set[tuple[int, int]] = set()
        self.num_objects = 0

    def run(self) -> None:
        h5 = library()

        info = h5.h5o.get_info(self.root)
        self.seen_groups[info.fileno, info.addr] = "/"
        check_attributes(self.root, "/")
        stack: list[tuple[Any, str, int]] = [(self.root, "", 0)]
        while stack:
            group, place, depth = stack.pop()
            for child, child_place in self._children(group, place):
                if depth >= MAX_DEPTH:
                    raise Refused("groups are nested too deeply", f"over {MAX_DEPTH} levels")
                stack.append((child, child_place, depth + 1))

    def _children(self, group: Any, place: str) -> Iterator[tuple[Any, str]]:
        """The new groups among the links; datasets are checked on the way."""
        self._count(group.get_num_objs())
        for name in list(group):
            if len(name) > MAX_NAME:
                raise Refused(f"a name in '{printable(place)}/' is too long", f"{len(name)} bytes")
            where = f"{place}/{name.decode('utf-8', 'backslashreplace')}"
            if self._is_hard(group, name, where):
                yield from self._visit(group, name, where)

    def _count(self, num_links: int) -> None:
        self.num_objects += num_links
        if self.num_objects > MAX_OBJECTS:
            raise Refused("holds too many objects", f"over {MAX_OBJECTS:,}", IF_TRUSTED)

    def _is_hard(self, group: Any, name: bytes, where: str) -> bool:
        """Whether the link leads to an object; other links are judged here."""
        h5 = library()

        kind = group.links.get_info(name).type
        if kind == h5.h5l.TYPE_HARD:
            return True
        if kind == h5.h5l.TYPE_EXTERNAL:
            file, inside = group.links.get_val(name)
            raise Refused(
                f"'{printable(where)}' is a link into another file",
                f"{printable(file)}:{printable(inside)}",
                f"Copy the data into one file. {IF_TRUSTED}",
            )
        if kind != h5.h5l.TYPE_SOFT:
            raise Refused(f"'{printable(where)}' is a link of an unknown type", str(kind))
        self._check_soft(group, name, where)
        return False

    def _check_soft(self, group: Any, name: bytes, where: str) -> None:
        """A soft link may lead to a dataset of this file, or nowhere."""
        h5 = library()

        hops = 0
        start, todo = group, [name]
        while todo:
            step = todo.pop(0)
            if step in (b"", b"."):
                continue
            if not isinstance(start, type(group)) or not start.links.exists(step):
                return
            kind = start.links.get_info(step).type
            if kind == h5.h5l.TYPE_HARD:
                start = h5.h5o.open(start, step)
                if h5.h5i.get_type(start) != h5.h5i.GROUP:
                    return
                continue
            hops += 1
            if kind != h5.h5l.TYPE_SOFT or hops > MAX_HOPS:
                raise Refused(f"the soft link '{printable(where)}' leaves the file or goes round")
            target = start.links.get_val(step)
            start = self.root if target.startswith(b"/") else start
            todo = target.split(b"/") + todo
        raise Refused(
            f"the soft link '{printable(where)}' leads to a group",
            printable(group.links.get_val(name)),
            "Only datasets may have a second name",
        )

    def _visit(self, group: Any, name: bytes, where: str) -> Iterator[tuple[Any, str]]:
        h5 = library()

        node = h5.h5o.open(group, name)
        info = h5.h5o.get_info(node)
        key, kind = (info.fileno, info.addr), h5.h5i.get_type(node)
        if kind == h5.h5i.GROUP:
            if key in self.seen_groups:
                raise Refused(
                    f"the group '{printable(where)}' is reached by two ways",
                    f"also as '{printable(self.seen_groups[key])}'",
                    "Groups must form a tree",
                )
            self.seen_groups[key] = where
            check_attributes(node, where)
            yield node, where
        elif kind == h5.h5i.DATASET and key not in self.seen_datasets:
            self.seen_datasets.add(key)
            check_dataset(node, where)
            check_attributes(node, where)
