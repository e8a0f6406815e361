"""Which axis is which in DPOT's files, as far as the shapes can tell."""

from pdefm.data.formats.axis_spec import AxisSpec
from pdefm.errors import DataError

SCATTERED_AXES = {3: "X Y T", 4: "X Y T C", 5: "X Y Z T C"}
"""One trajectory a file, by the number of axes."""

SINGLE_AXES = {4: "N X Y T", 5: "N X Y T C", 6: "N X Y Z T C"}
"""All trajectories in one file."""

STEADY_AXES = {2: ("X Y",), 3: ("X Y C", "N X Y"), 4: ("N X Y C",)}
"""Of ``y``, alone or for all samples."""

MAX_CHANNELS = 5
"""Most fields in any published set; a longer last axis is not channels."""


def data_axes(shape: tuple[int, ...], numbered: bool, where: str) -> AxisSpec:
    """Axes of a dataset ``data``.

    Published grids are square but for one set, and hold at most five fields; whatever both kinds of
    file could have is refused.

    Args:
        shape: Of the dataset.
        numbered: Whether the file is one of a folder's ``data_0``, ``data_1``, ...
        where: For messages.

    Raises:
        DataError: The shape fits both or neither.
    """
    both = [axes[len(shape)] for axes in (SCATTERED_AXES, SINGLE_AXES) if len(shape) in axes]
    fitting = [axes for axes in both if _fits(AxisSpec.parse(axes, shape, where))]
    if numbered and len(shape) in SCATTERED_AXES:
        # A folder's files hold one trajectory each; only a shape that speaks against it is refused.
        scattered = SCATTERED_AXES[len(shape)]
        against = shape[0] != shape[1] == shape[2]
        fitting = [] if against and scattered not in fitting else [scattered]
    if len(fitting) == 1:
        return AxisSpec.parse(fitting[0], shape, where)
    raise _undecided(both, shape, where)


def steady_axes(
    shapes: dict[str, tuple[int, ...]], numbered: bool, where: str
) -> dict[str, AxisSpec]:
    """Axes of the datasets ``x`` and ``y``, either of which may lack the channel axis.

    Args:
        shapes: Of both.
        numbered: Whether the file is one of a folder's ``data_0``, ``data_1``, ...
        where: For messages.

    Raises:
        DataError: The shapes fit one sample and many alike, or neither.
    """
    least = min(len(shape) for shape in shapes.values())
    shape = next(shape for shape in shapes.values() if len(shape) == least)
    choices = STEADY_AXES.get(least, ())
    if numbered:
        choices = tuple(axes for axes in choices if "N" not in axes)
    fitting = [a for a in choices if least == 2 or _fits(AxisSpec.parse(a, shape, where))]
    if len(fitting) != 1:
        raise _undecided(list(choices), shape, where)
    return as_steady_axes(fitting[0], shapes, where)


def as_steady_axes(
    text: str, shapes: dict[str, tuple[int, ...]], where: str
) -> dict[str, AxisSpec]:
    """One description for ``x`` and ``y``, each of which has the channel axis or lacks it.

    Args:
        text: Such as ``X Y C``; without C an array of one more axis has it last.
        shapes: Of both.
        where: For messages.

    Raises:
        DataError: It does not fit, or it has a time axis.
    """
    letters = text.upper().replace(",", "").replace(" ", "")
    if "T" in letters:
        raise DataError(
            f"{where}: x and y are steady and have no time axis",
            got=f"--axes '{text}'",
            do="Leave out T, as in --axes 'N X Y C'",
        )
    alone = letters.replace("C", "")
    full = letters if "C" in letters else f"{letters}C"
    return {
        key: AxisSpec.parse(full if len(shape) == len(full) else alone, shape, where)
        for key, shape in shapes.items()
    }


def _fits(spec: AxisSpec) -> bool:
    """Whether these axes make a published shape: square, few channels, time of its own."""
    sides = {spec.size(letter) for letter in spec.space}
    square = len(sides) == 1 and 1 not in sides
    time = spec.size("T")
    many = "N" in spec.letters
    # Neither a single frame nor as many frames as points is in any file of many trajectories.
    odd_time = "T" in spec.letters and (
        (many and time == 1) or ((many or "C" not in spec.letters) and time in sides)
    )
    return square and spec.size("C") <= MAX_CHANNELS and not odd_time


def _undecided(choices: list[str], shape: tuple[int, ...], where: str) -> DataError:
    examples = " or ".join(f"--axes '{axes}'" for axes in choices) or "--axes 'X Y T C'"
    return DataError(
        f"{where}: the axes cannot be told from the shape",
        got=f"shape {list(shape)}",
        do=f"Say what they are, as in {examples}",
    )
