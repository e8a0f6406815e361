"""The published DPOT, 2-D and 3-D, equation by equation and slowly: the oracle for our fast one.

Written from the equations in the paper (arXiv 2403.03542, section 4) and the published tensor
layouts, in float64, with explicit loops over frames and heads. Input and output are channels-last.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

ACTIVATIONS = {
    "gelu": F.gelu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": F.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "softplus": F.softplus,
    "ELU": F.elu,
    "silu": F.silu,
}
LAST_AXIS_MODES_3D = 8


def _group_norm(z: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    groups = z.reshape(len(z), 8, -1)
    mean = groups.mean(-1, keepdim=True)
    variance = groups.var(-1, unbiased=False, keepdim=True)
    normed = ((groups - mean) / (variance + 1e-5).sqrt()).reshape(z.shape)
    return normed * _column(weight, z) + _column(bias, z)


def _column(vector: Tensor, like: Tensor) -> Tensor:
    """One value a channel, ready to meet ``[B, D, *space]``."""
    return vector.view(1, -1, *(1,) * (like.ndim - 2))


def _pointwise(z: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.einsum("oi,bi...->bo...", weight.flatten(1), z) + _column(bias, z)


def _kept(spectrum: Tensor, modes: int) -> tuple[slice, ...]:
    """The first ``modes`` of every axis; in 3-D the first eight of the last."""
    num_dims = spectrum.ndim - 2
    last = LAST_AXIS_MODES_3D if num_dims == 3 else modes
    return (*(slice(modes),) * (num_dims - 1), slice(last))


def _mixer(u: Tensor, s: dict[str, Tensor], modes: int, act: str) -> Tensor:
    axes = tuple(range(2, u.ndim))
    heads = s["w1"].shape[1]
    d = u.shape[1] // heads
    spectrum = torch.fft.rfftn(u, dim=axes, norm="ortho")
    result = torch.zeros_like(spectrum)
    activation = ACTIVATIONS["gelu" if len(axes) == 3 else act]
    for head in range(heads):
        w1, w2, b1, b2 = (
            torch.complex(s[name][0, head], s[name][1, head]) for name in ("w1", "w2", "b1", "b2")
        )
        where = (slice(None), slice(head * d, (head + 1) * d), *_kept(spectrum, modes))
        kept = spectrum[where]
        a = torch.einsum("bi...,io->bo...", kept, w1) + _column(b1, kept)
        a = torch.complex(activation(a.real), activation(a.imag))
        result[where] = torch.einsum("bi...,io->bo...", a, w2) + _column(b2, kept)
    return u + torch.fft.irfftn(result, s=u.shape[2:], dim=axes, norm="ortho")


def _with_coordinates(x: Tensor) -> Tensor:
    B, *sizes, _ = x.shape  # space, then time
    axes = [torch.linspace(0, 1, n, dtype=x.dtype) for n in sizes]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    return torch.cat([x, grid.expand(B, *sizes, len(sizes))], -1)


def _blocks(z: Tensor, s: dict[str, Tensor], modes: int, act: str) -> Tensor:
    depth = 1 + max(int(name.split(".")[1]) for name in s if name.startswith("blocks."))
    for i in range(depth):
        block = {n.removeprefix(f"blocks.{i}."): v for n, v in s.items()}
        spectral = {n.removeprefix("filter."): v for n, v in block.items()}
        u = _group_norm(z, block["norm1.weight"], block["norm1.bias"])
        u = _mixer(u, spectral, modes, act)
        u = _group_norm(u, block["norm2.weight"], block["norm2.bias"])
        u = ACTIVATIONS[act](_pointwise(u, block["mlp.0.weight"], block["mlp.0.bias"]))
        z = z + _pointwise(u, block["mlp.2.weight"], block["mlp.2.bias"])
    return z


def _aggregate(x: Tensor, s: dict[str, Tensor], act: str) -> Tensor:
    """Patch embedding of every frame, positions, and the sum over time."""
    T = x.shape[-2]
    tau = torch.linspace(0, 1, T, dtype=torch.float64)
    kernel = s["patch_embed.proj.0.weight"]
    convolve = {4: F.conv2d, 5: F.conv3d}[kernel.ndim]
    z = torch.zeros(())
    for t in range(T):
        frame = x[..., t, :].movedim(-1, 1)
        e = convolve(frame, kernel, s["patch_embed.proj.0.bias"], stride=kernel.shape[-1])
        e = ACTIVATIONS[act](e)
        e = _pointwise(e, s["patch_embed.proj.2.weight"], s["patch_embed.proj.2.bias"])
        weight = s["time_agg_layer.w"][t]
        if "time_agg_layer.gamma" in s:
            weight = weight * torch.cos(tau[t] * s["time_agg_layer.gamma"][0])[:, None]
        z = z + torch.einsum("bi...,ij->bj...", e + s["pos_embed"], weight)
    return z


def dpot_literal(
    state: dict[str, Tensor], x: Tensor, *, modes: int, act: str, num_out: int
) -> Tensor:
    """Fields ``[B, *space, T, C]`` to ``[B, *space, T', C']`` with the original state dict."""
    s = {name: tensor.double() for name, tensor in state.items()}
    x = x.double()
    normalize = "scale_feats_mu.weight" in s
    over = tuple(range(1, x.ndim - 1))
    mean = x.mean(over, keepdim=True)
    std = x.std(over, keepdim=True) + 1e-6
    z = _aggregate(_with_coordinates((x - mean) / std if normalize else x), s, act)
    if normalize:
        both = torch.cat([mean.flatten(1), std.flatten(1)], 1)  # [B, 2 C]
        a, b = (
            F.linear(both, s[f"scale_feats_{k}.weight"], s[f"scale_feats_{k}.bias"])
            for k in ("sigma", "mu")
        )
        ones = (1,) * (z.ndim - 2)
        z = a.view(*a.shape, *ones) * z + b.view(*b.shape, *ones)
    z = _blocks(z, s, modes, act)
    kernel = s["out_layer.0.weight"]
    spread = {4: F.conv_transpose2d, 5: F.conv_transpose3d}[kernel.ndim]
    y = ACTIVATIONS[act](spread(z, kernel, s["out_layer.0.bias"], stride=kernel.shape[-1]))
    y = ACTIVATIONS[act](_pointwise(y, s["out_layer.2.weight"], s["out_layer.2.bias"]))
    y = _pointwise(y, s["out_layer.4.weight"], s["out_layer.4.bias"])
    y = y.unflatten(1, (-1, num_out)).movedim((1, 2), (-2, -1))  # [B, *space, T', C']
    return y * std + mean if normalize else y
