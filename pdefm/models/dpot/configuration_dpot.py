"""Configuration of DPOT: everything that its shape and its equations depend on."""

from typing import Any, no_type_check

from transformers import PreTrainedConfig

from pdefm.errors import ModelError
from pdefm.models.activations import activation_names
from pdefm.models.auto import register_auto_classes
from pdefm.models.config_checks import check_keys, check_kinds
from pdefm.registry import nearest_name_hint

TIME_AGGREGATIONS = ("exp_mlp", "mlp")
TRUNCATIONS = ("symmetric", "one_sided")
COORDINATE_ENCODINGS = ("linear", "fourier")
SPECTRAL_NONLINEARITIES = ("parts", "modulus")
SHORT_HISTORIES = ("mask", "repeat")
PREDICTIONS = ("increment", "state")
SIZES = (
    "patch_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "patch_feature_size",
    "decoder_size",
    "history",
    "horizon",
    "condition_size",
)
NUM_GROUPS = 8  # of every GroupNorm, in the paper and here


@no_type_check  # transformers builds and checks this class in its own way
class DPOTConfig(PreTrainedConfig):
    """Shape and variant of a :class:`~pdefm.models.dpot.modeling_dpot.DPOTModel`.

    Args:
        field_names: Vocabulary of named fields; each owns one slice of the patch embedding and of
            the decoder, in this order.
        patch_size: Side of a square patch, in grid points.
        hidden_size: Width D of the latent tokens.
        num_hidden_layers: Number of Fourier blocks.
        num_attention_heads: Diagonal blocks h of the Fourier mixer; divides ``hidden_size``.
        mlp_ratio: Width of a block's MLP over D.
        patch_feature_size: Width E between the two patch-embedding products (C'p + 3 in the paper).
        decoder_size: Width L of the decoder.
        history: Frames in, T.
        horizon: Frames out, T'.
        mixer: Name in ``pdefm.models.mixers.MIXERS``.
        num_modes: Frequencies per axis that the mixer transforms, K; ``None`` is all of them.
        mode_truncation: ``symmetric`` keeps ``|k| < K`` on full axes; ``one_sided`` keeps the
            first K rows as the published code does.
        spectral_output_bias: Adds the second bias at every kept frequency, as published; that is a
            delta at the origin, so it breaks translation symmetry.
        hidden_act: Activation, in transformers' names.
        time_aggregation: ``exp_mlp`` (paper) or ``mlp``.
        position_size: Latent points per axis of the learned position table; other latent grids
            interpolate it. ``None`` means no table.
        coordinate_channels: Appends coordinates and time to the fields before the patch embedding.
        coordinate_encoding: ``linear`` is x, y and t in [0, 1], both ends included, as published;
            ``fourier`` is sine and cosine of ``2 pi x`` for every axis, which has no seam where a
            periodic axis closes, and t.
        num_dims: Space axes, 1 to 3.
        last_axis_modes: Kept frequencies of the last axis where they differ from ``num_modes``, as
            in the published 3-D models (8).
        spectral_nonlinearity: ``parts`` applies the activation to real and imaginary part
            separately (published); ``modulus`` scales each complex value by
            ``sigmoid(|a| + b)``, which keeps its phase, so that the mixer commutes with
            translations of a periodic grid.
        spectral_act: Activation inside the mixer; ``None`` is ``hidden_act``. The published 3-D
            models always have ``gelu`` there.
        instance_normalization: Scale every sample by mean and deviation of its own history, and
            tell the latent grid both by a linear modulation (the published ``normalize`` switch).
        instance_std_floor: Smallest deviation in that, as a part of the mean's size, so that the
            rounding noise of a constant field is not blown up (0 in the published models).
        short_history: What a history of fewer frames means: ``mask`` leaves the missing ones out
            of the aggregation; ``repeat`` repeats the oldest frame.
        mask_channel: Show the network where the domain ends, as one more input channel.
        conditions: What the blocks are told besides the fields, each optional in a forward pass:
            ``dt``, ``boundary``, or the name of a parameter of the equation. They scale and shift
            the normalised tokens of every block, by nothing at the start of training.
        condition_size: Width of the vector that the conditions are gathered in.
        prediction: ``increment`` adds the output to the last frame of the history; ``state`` (the
            published models) is the output itself.

    Source: DPOT (arXiv 2403.03542), section 4; published sizes in table 1.
    """

    model_type = "dpot"

    field_names: list[str] | None = None
    patch_size: int = 8
    hidden_size: int = 512
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    mlp_ratio: float = 1.0
    patch_feature_size: int = 35
    decoder_size: int = 32
    history: int = 10
    horizon: int = 1
    mixer: str = "afno"
    num_modes: int | None = None
    mode_truncation: str = "symmetric"
    spectral_output_bias: bool = False
    hidden_act: str = "gelu"
    time_aggregation: str = "exp_mlp"
    position_size: list[int] | None = None
    coordinate_channels: bool = True
    coordinate_encoding: str = "linear"
    prediction: str = "increment"
    num_dims: int = 2
    last_axis_modes: int | None = None
    spectral_act: str | None = None
    spectral_nonlinearity: str = "parts"
    instance_normalization: bool = False
    instance_std_floor: float = 1e-4
    short_history: str = "mask"
    mask_channel: bool = False
    conditions: list[str] | None = None
    condition_size: int = 64

    def __post_init__(self, **kwargs: Any) -> None:
        """Check what a wrong value would only break deep inside the model.

        Raises:
            ModelError: A key or a value that no DPOT can have.
        """
        check_keys(self, kwargs)
        check_kinds(self)
        super().__post_init__(**kwargs)
        self.field_names = ["field"] if self.field_names is None else list(self.field_names)
        self.conditions = list(self.conditions or [])
        self._check_names()
        self._check_sizes()

    def _check_names(self) -> None:
        activations = activation_names()
        for key, known in (
            ("time_aggregation", TIME_AGGREGATIONS),
            ("mode_truncation", TRUNCATIONS),
            ("prediction", PREDICTIONS),
            ("coordinate_encoding", COORDINATE_ENCODINGS),
            ("spectral_nonlinearity", SPECTRAL_NONLINEARITIES),
            ("short_history", SHORT_HISTORIES),
            ("hidden_act", activations),
            ("spectral_act", [None, *activations]),
        ):
            if getattr(self, key) not in known:
                raise ModelError(
                    f"unknown {key}",
                    got=f"'{getattr(self, key)}'",
                    do=nearest_name_hint(str(getattr(self, key)), [n for n in known if n]),
                )
        names = self.field_names or []
        if len(set(names)) != len(names) or not names:
            raise ModelError(
                "field_names must be different names, at least one",
                got=names,
                do="Name every field once",
            )
        if len(set(self.conditions or [])) != len(self.conditions or []):
            raise ModelError("conditions must be different names", got=self.conditions)

    def _check_sizes(self) -> None:
        sizes = {key: getattr(self, key) for key in SIZES}
        optional = {"num_modes": self.num_modes, "last_axis_modes": self.last_axis_modes}
        sizes |= {key: size for key, size in optional.items() if size is not None}
        if self.num_dims not in (1, 2, 3):
            raise ModelError("num_dims must be 1, 2 or 3", got=self.num_dims)
        if self.position_size is not None and len(self.position_size) != self.num_dims:
            raise ModelError(f"position_size needs {self.num_dims} numbers", got=self.position_size)
        if self.position_size is not None:
            sizes["position_size"] = min(self.position_size)
        sizes["hidden_size * mlp_ratio"] = int(self.hidden_size * self.mlp_ratio)
        for key, size in sizes.items():
            if size < 1:
                raise ModelError(f"{key} must be a whole number, at least 1", got=repr(size))
        for divisor in (self.num_attention_heads, NUM_GROUPS):
            if self.hidden_size % divisor:
                raise ModelError(
                    f"hidden_size must be divisible by num_attention_heads and by {NUM_GROUPS}",
                    got=f"hidden_size {self.hidden_size}, heads {self.num_attention_heads}",
                    do=f"Use a multiple of {divisor}",
                )


register_auto_classes(finished=__name__)
