"""Published DPOT checkpoints (2-D) to a DPOTModel: names, shapes and nothing executed.

The file holds a pickled ``argparse.Namespace`` beside the tensors; it is read with torch's
weights-only loader, which allows that one class and runs no code.
"""

import argparse
import re
from pathlib import Path

import torch
from torch import Tensor

from pdefm.errors import DataError, ModelError
from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.dpot.modeling_dpot import NUM_COORDINATES, DPOTModel
from pdefm.models.processing_pde import PDEProcessor

DEAD_PREFIX = "cls_head."  # its loss had weight zero in training, so it carries nothing
LAYER_NAMES = {
    "norm1": "norm1",
    "norm2": "norm2",
    "mlp.0": "fc1",
    "mlp.2": "fc2",
    "filter.w1": "mixer.weight1",
    "filter.w2": "mixer.weight2",
    "filter.b1": "mixer.bias1",
    "filter.b2": "mixer.bias2",
}
OTHER_NAMES = {
    "pos_embed": "time_aggregation.position",
    "time_agg_layer.w": "time_aggregation.weight",
    "time_agg_layer.gamma": "time_aggregation.gamma",
    "patch_embed.proj.2.bias": "time_aggregation.projection.bias",
    "out_layer.0.weight": "decoder.upsample.weight",
    "out_layer.0.bias": "decoder.upsample.bias",
    "out_layer.2.weight": "decoder.projection.weight",
    "out_layer.2.bias": "decoder.projection.bias",
    "patch_embed.proj.0.bias": "patch_embedding.bias",
}


def read_original(path: Path) -> dict[str, Tensor]:
    """Tensors of a published ``.pth``, without a DistributedDataParallel prefix.

    Raises:
        DataError: Missing or damaged file, or one that asks to run code.
        ModelError: A file without a ``model`` state dict.
    """
    if not path.is_file():
        raise DataError("no such checkpoint", got=path, do="Check the path")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # every way in which a pickle or zip can be damaged or hostile
        reason = str(error).splitlines()[0][:120]
        raise DataError(
            f"cannot read {path} as weights",
            got=f"{type(error).__name__} ({reason})",
            do="Only tensors are read; download the file again from its publisher",
        ) from error
    state = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(
            f"{path} holds no state dict", got=type(content).__name__, do="Give a DPOT checkpoint"
        )
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def infer_config(state: dict[str, Tensor], *, modes: int = 32, act: str = "gelu") -> DPOTConfig:
    """Configuration of a published model from the shapes of its tensors.

    Args:
        state: Original names and tensors.
        modes: Kept frequencies, which no tensor tells; the published models used 32.
        act: Activation, which no tensor tells either.

    Raises:
        ModelError: Not a 2-D DPOT without instance normalisation.
    """
    if "scale_feats_mu.weight" in state:
        raise ModelError(
            "checkpoint uses the model-internal normalisation (normalize=True)",
            do="No published model does; only normalize=False can be converted",
        )
    needed = {"patch_embed.proj.0.weight", "time_agg_layer.w", "out_layer.4.weight", "pos_embed"}
    if missing := sorted(needed - state.keys()):
        raise ModelError(
            "not a DPOT checkpoint", got=f"no tensor {missing[0]}", do="Check the file"
        )
    first = state["patch_embed.proj.0.weight"]  # [C'p + 3, C + 3, p, p]
    if first.ndim != 4:
        raise ModelError("only 2-D DPOT checkpoints can be converted", got=list(first.shape))
    patch = first.shape[-1]
    num_out = (first.shape[0] - NUM_COORDINATES) // patch
    num_in = first.shape[1] - NUM_COORDINATES
    if num_in != num_out:
        raise ModelError(
            "input and output channels differ",
            got=f"{num_in} in, {num_out} out",
            do="Only models that predict every field they see can be rolled out",
        )
    hidden = state["pos_embed"].shape[1]
    depth = 1 + max(int(m[1]) for name in state if (m := re.match(r"blocks\.(\d+)\.", name)))
    return DPOTConfig(
        field_names=[f"channel_{i}" for i in range(num_in)],
        patch_size=patch,
        hidden_size=hidden,
        num_hidden_layers=depth,
        num_attention_heads=state["blocks.0.filter.w1"].shape[1],
        mlp_ratio=state["blocks.0.mlp.0.weight"].shape[0] / hidden,
        patch_feature_size=first.shape[0],
        decoder_size=state["out_layer.2.weight"].shape[0],
        history=state["time_agg_layer.w"].shape[0],
        horizon=state["out_layer.4.weight"].shape[0] // num_out,
        num_modes=modes,
        mode_truncation="one_sided",
        spectral_output_bias=True,
        hidden_act=act,
        time_aggregation="exp_mlp" if "time_agg_layer.gamma" in state else "mlp",
        position_size=list(state["pos_embed"].shape[-2:]),
        prediction="state",
    )


def _split_fields(state: dict[str, Tensor], num_fields: int) -> dict[str, Tensor]:
    """The tensors that mix fields, cut into one slice a field."""
    patch = state["patch_embed.proj.0.weight"].transpose(0, 1)  # [C + 3, E, p, p]
    out = state["out_layer.4.weight"][:, :, 0, 0]  # [T' C, L], time slow
    bias = state["out_layer.4.bias"]
    return {
        "patch_embedding.field_weight": patch[:num_fields].contiguous(),
        "patch_embedding.coordinate_weight": patch[num_fields:].contiguous(),
        "time_aggregation.projection.weight": state["patch_embed.proj.2.weight"][:, :, 0, 0],
        "decoder.field_weight": out.unflatten(0, (-1, num_fields)).transpose(0, 1).contiguous(),
        "decoder.field_bias": bias.unflatten(0, (-1, num_fields)).T.contiguous(),
    }


def convert_state_dict(state: dict[str, Tensor], num_fields: int) -> dict[str, Tensor]:
    """Original names and layouts to ours; every tensor is used, none is skipped.

    Raises:
        ModelError: A tensor that no DPOT has.
    """
    split = {"patch_embed.proj.0.weight", "patch_embed.proj.2.weight"}
    split |= {"out_layer.4.weight", "out_layer.4.bias"}
    converted = _split_fields(state, num_fields)
    for name, tensor in state.items():
        if name in split or name.startswith(DEAD_PREFIX):
            continue
        if match := re.fullmatch(r"blocks\.(\d+)\.(.+?)(\.weight|\.bias)?", name):
            index, part, leaf = match[1], match[2], match[3] or ""
            new = f"layers.{index}.{LAYER_NAMES[part]}{leaf}" if part in LAYER_NAMES else None
        else:
            new = OTHER_NAMES.get(name)
        if new is None:
            raise ModelError("not a DPOT tensor", got=name, do="Check the file")
        # Spectral tensors lead with (2, heads); ours flattens the pair, real half first.
        converted[new] = tensor.flatten(0, 1) if ".filter." in name else tensor
    return converted


def convert_dpot(
    path: Path, *, modes: int = 32, act: str = "gelu"
) -> tuple[DPOTModel, PDEProcessor, list[str]]:
    """Read a published checkpoint.

    Returns:
        The model, a processor with positional channels and no normalisation, and the names of the
        tensors of the unused class head, which are left out.

    Raises:
        DataError: Unreadable file.
        ModelError: Not a 2-D DPOT; missing, unknown or wrongly shaped tensors.
    """
    state = read_original(path)
    config = infer_config(state, modes=modes, act=act)
    names = config.field_names or []
    converted = convert_state_dict(state, len(names))
    model = DPOTModel(config)
    try:
        model.load_state_dict(converted, strict=True)
    except RuntimeError as error:
        detail = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise ModelError(f"{path} does not fit a DPOT", got=detail, do="Check the file") from error
    processor = PDEProcessor(
        fields={name: {"unit": "unknown", "mean": 0.0, "std": 1.0} for name in names},
        history=config.history,
        horizon=config.horizon,
        padding_value=1.0,
    )
    dropped = sorted(name for name in state if name.startswith(DEAD_PREFIX))
    return model, processor, dropped
