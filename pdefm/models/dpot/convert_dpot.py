"""Published DPOT checkpoints, 2-D and 3-D, to a DPOTModel: names, shapes and nothing executed.

The file holds a pickled ``argparse.Namespace`` beside the tensors; it is read with torch's
weights-only loader, which allows that one class and runs no code.
"""

import argparse
import re
from pathlib import Path

import torch
from torch import Tensor, nn

from pdefm.errors import DataError, ModelError
from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.dpot.modeling_dpot import DPOTModel
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
    "out_layer.0.bias": "decoder.upsample_bias",
    "out_layer.2.bias": "decoder.projection.bias",
    "patch_embed.proj.0.bias": "patch_embedding.bias",
    "scale_feats_sigma.bias": "modulation.scale_bias",
    "scale_feats_mu.bias": "modulation.shift_bias",
}
# What the published code calls the activations that transformers lacks.
ACTIVATIONS = {"leaky_relu": "leaky_relu_0.1", "ELU": "elu"}
SPECTRAL_3D = {"last_axis_modes": 8, "spectral_act": "gelu"}  # fixed in the published 3-D code


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
        ModelError: Not a DPOT.
    """
    needed = {"patch_embed.proj.0.weight", "time_agg_layer.w", "out_layer.4.weight", "pos_embed"}
    if missing := sorted(needed - state.keys()):
        raise ModelError(
            "not a DPOT checkpoint", got=f"no tensor {missing[0]}", do="Check the file"
        )
    first = state["patch_embed.proj.0.weight"]  # [C'p + n + 1, C + n + 1, *patch]
    num_dims = first.ndim - 2
    if num_dims not in (2, 3):
        raise ModelError("not a DPOT checkpoint", got=f"kernels {list(first.shape)}")
    patch = first.shape[-1]
    num_out = (first.shape[0] - num_dims - 1) // patch
    num_in = first.shape[1] - num_dims - 1
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
        hidden_act=ACTIVATIONS.get(act, act),
        num_dims=num_dims,
        instance_normalization="scale_feats_mu.weight" in state,
        instance_std_floor=0.0,
        short_history="repeat",  # trained on whole histories only
        **(SPECTRAL_3D if num_dims == 3 else {}),
        time_aggregation="exp_mlp" if "time_agg_layer.gamma" in state else "mlp",
        position_size=list(state["pos_embed"].shape[2:]),
        prediction="state",
    )


def _split_fields(state: dict[str, Tensor], num_fields: int) -> dict[str, Tensor]:
    """The tensors that mix fields, cut into one slice a field."""
    patch = state["patch_embed.proj.0.weight"].transpose(0, 1)  # [C + n + 1, E, *patch]
    out = state["out_layer.4.weight"].flatten(1)  # [T' C, L], time slow
    bias = state["out_layer.4.bias"]
    upsample = state["out_layer.0.weight"]  # [D, L, *patch], to become [*patch L, D]
    split = {
        "patch_embedding.field_weight": patch[:num_fields].contiguous(),
        "patch_embedding.coordinate_weight": patch[num_fields:].contiguous(),
        "time_aggregation.projection.weight": state["patch_embed.proj.2.weight"].flatten(1),
        "decoder.upsample.weight": upsample.movedim(0, -1).movedim(0, -2).flatten(0, -2),
        "decoder.projection.weight": state["out_layer.2.weight"].flatten(1),
        "decoder.field_weight": out.unflatten(0, (-1, num_fields)).transpose(0, 1).contiguous(),
        "decoder.field_bias": bias.unflatten(0, (-1, num_fields)).T.contiguous(),
    }
    for old, new in (("sigma", "scale"), ("mu", "shift")):
        if (weight := state.get(f"scale_feats_{old}.weight")) is not None:  # [D, 2 C]
            slices = weight.T.unflatten(0, (2, num_fields)).transpose(0, 1)  # [C, 2, D]
            split[f"modulation.{new}_weight"] = slices.contiguous()
    return split


def convert_state_dict(state: dict[str, Tensor], num_fields: int) -> dict[str, Tensor]:
    """Original names and layouts to ours; every tensor is used, none is skipped.

    Raises:
        ModelError: A tensor that no DPOT has.
    """
    split = {f"patch_embed.proj.{i}.weight" for i in (0, 2)}
    split |= {"out_layer.0.weight", "out_layer.2.weight", "out_layer.4.weight", "out_layer.4.bias"}
    split |= {"scale_feats_mu.weight", "scale_feats_sigma.weight"}
    converted = _split_fields(state, num_fields)
    for name, tensor in state.items():
        if name in split or name.startswith(DEAD_PREFIX):
            continue
        leaf = ""
        if match := re.fullmatch(r"blocks\.(\d+)\.(.+?)(\.weight|\.bias)?", name):
            index, part, leaf = match[1], match[2], match[3] or ""
            new = f"layers.{index}.{LAYER_NAMES[part]}{leaf}" if part in LAYER_NAMES else None
        else:
            new = OTHER_NAMES.get(name)
        if new is None:
            raise ModelError("not a DPOT tensor", got=name, do="Check the file")
        if ".filter." in name:  # they lead with (2, heads); ours flattens the pair, real half first
            tensor = tensor.flatten(0, 1)
        elif ".mlp." in name and leaf == ".weight":  # pointwise in any number of dimensions
            tensor = tensor.flatten(1)  # [out, in]
        converted[new] = tensor
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
        ModelError: Not a DPOT; missing, unknown or wrongly shaped tensors.
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


@torch.no_grad()
def transfer_blocks(
    source: DPOTModel, target: DPOTModel, *, time_aggregation: bool = False
) -> None:
    """Copy the Fourier blocks of one model into another, as from 2-D to 3-D.

    Blocks are pointwise in space and frequency, so their weights do not depend on the number of
    space axes; nothing else of a model transfers.

    Args:
        source: Where the weights come from.
        target: Same width and depth; modified.
        time_aggregation: Also copy the weights over time; then the histories must agree.

    Raises:
        ModelError: Other widths, depths or histories.

    Source: DPOT (arXiv 2403.03542), section 5.4.
    """
    pairs: list[tuple[nn.Module, nn.Module]] = [(source.layers, target.layers)]
    if time_aggregation:
        pairs.append((_over_time(source), _over_time(target)))
    for old, new in pairs:
        state, expected = old.state_dict(), new.state_dict()
        shapes = {name: tensor.shape for name, tensor in state.items()}
        if shapes != {name: tensor.shape for name, tensor in expected.items()}:
            raise ModelError(
                "blocks transfer between models of one width, depth and history",
                got=f"{_extent(source)} and {_extent(target)}",
                do="Make the target with the source's sizes",
            )
        new.load_state_dict(state)


def _over_time(model: DPOTModel) -> nn.ParameterDict:
    """The weights of the time aggregation that do not depend on the grid, sharing their memory."""
    module = model.time_aggregation
    found = {"weight": module.weight, "gamma": module.gamma}
    return nn.ParameterDict({name: p for name, p in found.items() if p is not None})


def _extent(model: DPOTModel) -> str:
    config = model.config
    return (
        f"hidden_size {config.hidden_size}, {config.num_hidden_layers} layers,"
        f" history {config.history}"
    )
