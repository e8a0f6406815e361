"""Which trajectories no model should learn from, whatever else is wrong with the data."""

from pdefm.data.nonfinite import first_bad_frame
from pdefm.data.trajectory import Trajectory


def why_unusable(trajectory: Trajectory) -> str | None:
    """A short reason, or ``None``.

    Solvers that crash leave NaN, or zeros: some published data were zero from the crash on, in all
    fields at once (PDEBench's compressible flows).

    Args:
        trajectory: All of its frames.
    """
    fields = trajectory.fields
    if not trajectory.is_finite():
        return f"not finite from frame {first_bad_frame(trajectory)} on"
    empty = (fields == 0).flatten(1).all(1)  # [time]
    if trajectory.num_frames > 1 and bool(empty[-1]):
        alive = (~empty).nonzero()
        first = int(alive[-1]) + 1 if len(alive) else 0
        return f"zero everywhere from frame {first} on"
    return None
