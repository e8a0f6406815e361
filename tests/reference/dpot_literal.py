"""The published 2-D DPOT, equation by equation and slowly: the oracle for our fast one.

Written from the equations in the paper (arXiv 2403.03542, section 4) and the published tensor
layouts, in float64, with explicit loops over frames and heads. Input and output are channels-last.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

ACTIVATIONS = {"gelu": F.gelu, "relu": F.relu, "silu": F.silu, "tanh": torch.tanh}


def _group_norm(z: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    B, D = z.shape[:2]
    groups = z.reshape(B, 8, -1)
    mean = groups.mean(-1, keepdim=True)
    variance = groups.var(-1, unbiased=False, keepdim=True)
    normed = ((groups - mean) / (variance + 1e-5).sqrt()).reshape(z.shape)
    return normed * weight.view(1, D, 1, 1) + bias.view(1, D, 1, 1)


def _pointwise(z: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.einsum("oi,bihw->bohw", weight[:, :, 0, 0], z) + bias.view(1, -1, 1, 1)


def _mixer(u: Tensor, s: dict[str, Tensor], modes: int, act: str) -> Tensor:
    _, D, H, W = u.shape
    heads = s["w1"].shape[1]
    d = D // heads
    spectrum = torch.fft.rfft2(u, norm="ortho")
    result = torch.zeros_like(spectrum)
    activation = ACTIVATIONS[act]
    for head in range(heads):
        w1 = torch.complex(s["w1"][0, head], s["w1"][1, head])
        w2 = torch.complex(s["w2"][0, head], s["w2"][1, head])
        b1 = torch.complex(s["b1"][0, head], s["b1"][1, head])
        b2 = torch.complex(s["b2"][0, head], s["b2"][1, head])
        channels = slice(head * d, (head + 1) * d)
        kept = spectrum[:, channels, :modes, :modes]
        a = torch.einsum("bihw,io->bohw", kept, w1) + b1.view(1, d, 1, 1)
        a = torch.complex(activation(a.real), activation(a.imag))
        c = torch.einsum("bihw,io->bohw", a, w2) + b2.view(1, d, 1, 1)
        result[:, channels, :modes, :modes] = c
    return u + torch.fft.irfft2(result, s=(H, W), norm="ortho")


def _with_coordinates(x: Tensor) -> Tensor:
    B, X, Y, T, _ = x.shape
    axes = [torch.linspace(0, 1, n, dtype=x.dtype) for n in (X, Y, T)]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    return torch.cat([x, grid.expand(B, X, Y, T, 3)], -1)


def dpot_literal(
    state: dict[str, Tensor], x: Tensor, *, modes: int, act: str, num_out: int
) -> Tensor:
    """Fields ``[B, X, Y, T, C]`` to ``[B, X, Y, T', C']`` with the original state dict."""
    s = {name: tensor.double() for name, tensor in state.items()}
    x = _with_coordinates(x.double())
    T = x.shape[3]
    tau = torch.linspace(0, 1, T, dtype=torch.float64)
    patch = s["patch_embed.proj.0.weight"].shape[-1]
    activation = ACTIVATIONS[act]
    z = torch.zeros(())
    for t in range(T):
        frame = x[:, :, :, t].permute(0, 3, 1, 2)
        e = F.conv2d(
            frame, s["patch_embed.proj.0.weight"], s["patch_embed.proj.0.bias"], stride=patch
        )
        e = _pointwise(activation(e), s["patch_embed.proj.2.weight"], s["patch_embed.proj.2.bias"])
        e = e + s["pos_embed"]
        weight = s["time_agg_layer.w"][t]
        if "time_agg_layer.gamma" in s:
            weight = weight * torch.cos(tau[t] * s["time_agg_layer.gamma"][0])[:, None]
        z = z + torch.einsum("bihw,ij->bjhw", e, weight)
    depth = 1 + max(int(name.split(".")[1]) for name in s if name.startswith("blocks."))
    for i in range(depth):
        block = {n.removeprefix(f"blocks.{i}."): v for n, v in s.items()}
        spectral = {n.removeprefix("filter."): v for n, v in block.items()}
        u = _group_norm(z, block["norm1.weight"], block["norm1.bias"])
        u = _mixer(u, spectral, modes, act)
        u = _group_norm(u, block["norm2.weight"], block["norm2.bias"])
        u = activation(_pointwise(u, block["mlp.0.weight"], block["mlp.0.bias"]))
        z = z + _pointwise(u, block["mlp.2.weight"], block["mlp.2.bias"])
    y = F.conv_transpose2d(z, s["out_layer.0.weight"], s["out_layer.0.bias"], stride=patch)
    y = _pointwise(activation(y), s["out_layer.2.weight"], s["out_layer.2.bias"])
    y = _pointwise(activation(y), s["out_layer.4.weight"], s["out_layer.4.bias"])
    B, _, X, Y = y.shape
    return y.reshape(B, -1, num_out, X, Y).permute(0, 3, 4, 1, 2)  # [B, X, Y, T', C']
