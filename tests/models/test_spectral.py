"""The kept part of a Fourier transform: two ways, one result."""

import cmath
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pdefm.models import spectral
from pdefm.models.spectral import MAX_PRODUCT_SIZE, KeptModes, from_spectrum, to_spectrum

WAYS = ("fft", "products")
GRIDS = [(1,), (8,), (9,), (6, 6), (5, 8), (8, 5), (7, 3), (1, 4), (4, 3, 6), (3, 4, 5), (2, 2, 2)]
CHOICES = [
    {},
    {"num_modes": 2, "last_axis_modes": 2},
    {"num_modes": 3, "last_axis_modes": 1},
    {"num_modes": 99, "last_axis_modes": 99},
    {"num_modes": 2, "last_axis_modes": 3, "truncation": "one_sided"},
    {"num_modes": 99, "truncation": "one_sided"},
]
every_grid = pytest.mark.parametrize("latent", GRIDS)
every_choice = pytest.mark.parametrize("choice", CHOICES)


def close(a, b, tolerance=1e-5):
    assert a.shape == b.shape
    return (a - b).norm() <= tolerance * b.norm()


def random_spectrum(kept):
    """Any numbers, not those of a real field."""
    rows = [len(kept.rows(axis)) for axis in range(len(kept.latent) - 1)]
    return torch.randn(2, 2, *rows, kept.columns, 4)


@pytest.mark.parametrize(
    ("size", "num_modes", "truncation", "rows"),
    [
        (8, 3, "symmetric", [0, 1, 2, 6, 7]),
        (7, 3, "symmetric", [0, 1, 2, 5, 6]),
        (8, 1, "symmetric", [0]),
        (8, 4, "symmetric", [0, 1, 2, 3, 5, 6, 7]),
        (8, 5, "symmetric", list(range(8))),
        (7, 4, "symmetric", list(range(7))),
        (8, 3, "one_sided", [0, 1, 2]),
        (4, 9, "symmetric", [0, 1, 2, 3]),
        (4, None, "one_sided", [0, 1, 2, 3]),
    ],
)
def test_kept_rows_are_the_frequencies_of_the_truncation(size, num_modes, truncation, rows):
    kept = KeptModes((size, 8), num_modes, None, truncation)
    assert kept.rows(0).tolist() == rows
    assert kept.keeps_all(0) == (len(rows) == size)


@pytest.mark.parametrize(
    ("size", "last_axis_modes", "columns"), [(8, None, 5), (7, None, 4), (8, 3, 3), (8, 9, 5)]
)
def test_kept_columns_are_the_first_ones_that_exist(size, last_axis_modes, columns):
    assert KeptModes((4, size), None, last_axis_modes).columns == columns


@pytest.mark.parametrize("way", WAYS)
@every_grid
@every_choice
def test_the_spectrum_is_the_kept_part_of_the_whole_transform(way, latent, choice):
    kept, values = KeptModes(latent, **choice), torch.randn(2, *latent, 4)
    axes = tuple(range(1, len(latent) + 1))
    whole = torch.fft.rfftn(values.double(), dim=axes, norm="ortho")
    for axis in range(len(latent) - 1):
        whole = whole.index_select(axis + 1, kept.rows(axis))
    whole = whole.narrow(len(latent), 0, kept.columns)
    expected = torch.stack([whole.real, whole.imag], 1).float()
    assert close(to_spectrum(values, kept, way), expected)


@pytest.mark.parametrize("way", WAYS)
@every_grid
def test_there_and_back_is_the_identity_when_all_is_kept(way, latent):
    kept, values = KeptModes(latent), torch.randn(2, *latent, 4)
    assert close(from_spectrum(to_spectrum(values, kept, way), kept, way), values)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("latent", [(9,), (8, 5), (4, 3, 6)])
@pytest.mark.parametrize("choice", CHOICES[1:4])
def test_there_and_back_twice_is_there_and_back_once(way, latent, choice):
    kept = KeptModes(latent, **choice)
    once = from_spectrum(to_spectrum(torch.randn(2, *latent, 4), kept, way), kept, way)
    assert close(from_spectrum(to_spectrum(once, kept, way), kept, way), once)


@every_grid
@every_choice
def test_any_spectrum_has_the_same_inverse_both_ways(latent, choice):
    """FFT libraries differ in what they make of numbers that no real field has; we must not."""
    kept = KeptModes(latent, **choice)
    spectrum = random_spectrum(kept)
    by_fft, by_products = (from_spectrum(spectrum, kept, way) for way in WAYS)
    assert close(by_fft, by_products)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("latent", [(8,), (6, 8), (6, 7), (4, 3, 6)])
def test_the_inverse_is_the_real_part_of_the_mirrored_spectrum(way, latent):
    """Of the columns 0 and Nyquist the real part counts; the others stand for their mirror too."""
    kept = KeptModes(latent)
    spectrum = random_spectrum(kept).double()
    values = torch.complex(spectrum[:, 0], spectrum[:, 1])  # [B, *latent[:-1], columns, D]
    for axis in range(1, len(latent)):
        values = torch.fft.ifft(values, dim=axis, norm="ortho")
    n = latent[-1]
    expected = torch.zeros(2, *latent, 4, dtype=torch.float64)
    for k in range(kept.columns):
        column = values.select(-2, k)
        for y in range(n):
            wave = cmath.rect(1.0, 2 * math.pi * k * y / n)
            part = column.real * wave.real if 2 * k in (0, n) else 2 * (column * wave).real
            expected.select(-2, y).add_(part / n**0.5)
    assert close(from_spectrum(spectrum.float(), kept, way), expected.float())


@pytest.mark.parametrize("latent", [(9,), (6, 6), (5, 8), (4, 3, 6)])
@every_choice
def test_the_gradients_of_both_ways_agree(latent, choice):
    kept = KeptModes(latent, **choice)
    values, spectrum = torch.randn(2, *latent, 4), random_spectrum(kept)
    target, frequencies = torch.randn(2, *latent, 4), random_spectrum(kept)
    gradients = []
    for way in WAYS:
        leaves = [values.clone().requires_grad_(), spectrum.clone().requires_grad_()]
        loss = (to_spectrum(leaves[0], kept, way) * frequencies).sum()
        loss = loss + (from_spectrum(leaves[1], kept, way) * target).sum()
        gradients.append(torch.autograd.grad(loss, leaves))
    assert all(close(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.filterwarnings("ignore:Input #0 requires gradient and is not a double")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("choice", [{}, {"num_modes": 2, "last_axis_modes": 2}])
def test_the_gradients_are_those_of_small_differences(way, choice):
    kept = KeptModes((4, 3), **choice)
    # Both maps are linear, so differences are exact at any step, and float32 is enough.
    small = {"eps": 0.5, "atol": 1e-4, "rtol": 1e-4}
    values = torch.randn(1, 4, 3, 1, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: to_spectrum(v, kept, way), values, **small)
    spectrum = random_spectrum(kept)[:1, ..., :1].requires_grad_()
    assert torch.autograd.gradcheck(lambda s: from_spectrum(s, kept, way), spectrum, **small)


@pytest.mark.parametrize("way", WAYS)
def test_training_goes_on_after_inference_has_filled_the_cache(way):
    kept = KeptModes((11, 13), 3, 3)  # a grid that no other test uses
    values = torch.randn(2, 11, 13, 4)
    with torch.inference_mode():
        expected = from_spectrum(to_spectrum(values, kept, way), kept, way)
    values.requires_grad_()
    result = from_spectrum(to_spectrum(values, kept, way), kept, way)
    result.square().sum().backward()
    assert torch.equal(result.detach(), expected)
    # Both maps are linear and orthonormal, so the composition is its own transpose.
    expected = from_spectrum(to_spectrum(2 * result.detach(), kept, way), kept, way)
    torch.testing.assert_close(values.grad, expected)


@pytest.mark.parametrize("way", WAYS)
def test_half_precision_is_transformed_in_float32(way):
    kept = KeptModes((6, 8), 3, 3)
    values = torch.randn(2, 6, 8, 4, dtype=torch.bfloat16)
    expected = to_spectrum(values.float(), kept, way)
    with torch.autocast("cpu", torch.bfloat16):
        spectrum = to_spectrum(values, kept, way)
        back = from_spectrum(spectrum.bfloat16(), kept, way)
    assert spectrum.dtype == back.dtype == torch.float32
    assert torch.equal(spectrum, expected)
    assert torch.equal(back, from_spectrum(spectrum.bfloat16().float(), kept, way))


@pytest.mark.parametrize("way", WAYS)
def test_the_memory_layout_of_the_input_does_not_matter(way):
    kept, values = KeptModes((6, 4, 8), 2, 3), torch.randn(2, 6, 4, 8, 4)
    permuted = values.permute(4, 2, 0, 3, 1).contiguous().permute(2, 4, 1, 3, 0)
    assert not permuted.is_contiguous()
    spectrum = to_spectrum(values, kept, way)
    assert close(to_spectrum(permuted, kept, way), spectrum)
    other = spectrum.movedim(1, -1).contiguous().movedim(-1, 1)
    assert close(from_spectrum(other, kept, way), from_spectrum(spectrum, kept, way))


@pytest.mark.parametrize("way", WAYS)
def test_the_meta_device_gives_shapes(way):
    kept, values = KeptModes((6, 8), 2, 3), torch.empty(2, 6, 8, 4, device="meta")
    spectrum = to_spectrum(values, kept, way)
    assert spectrum.shape == (2, 2, 3, 3, 4)
    assert from_spectrum(spectrum, kept, way).shape == values.shape


def test_auto_takes_products_up_to_a_size_and_ffts_above(monkeypatch):
    calls = []
    original = spectral._fft
    monkeypatch.setattr(spectral, "_fft", lambda *a: calls.append(a) or original(*a))
    for size in (MAX_PRODUCT_SIZE, MAX_PRODUCT_SIZE + 1):
        to_spectrum(torch.randn(1, 4, size, 1), KeptModes((4, size), 2, 2))
        assert len(calls) == (size > MAX_PRODUCT_SIZE)


COMPILE_BOTH = """
import json, torch
from pdefm.models.spectral import KeptModes, from_spectrum, to_spectrum

differences = {}
for way in ("fft", "products"):
    for latent in ((9,), (6, 8), (4, 3, 6)):
        def there_and_back(values):
            kept = KeptModes(latent, 2, 3)
            return from_spectrum(2.0 * to_spectrum(values, kept, way), kept, way)

        torch.compiler.reset()
        values, results = torch.randn(2, *latent, 4), []
        for call in (there_and_back, torch.compile(there_and_back, fullgraph=True,
                                                   backend="aot_eager")):
            leaf = values.clone().requires_grad_()
            output = call(leaf)
            output.square().sum().backward()
            results.append(torch.cat([output.detach(), leaf.grad]))
        differences[f"{way} {latent}"] = float((results[0] - results[1]).abs().max())
print(json.dumps(differences))
"""


def test_both_ways_compile_as_one_graph():
    # In another process: the shape checks of the test run are nothing that can be compiled.
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", COMPILE_BOTH]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=root, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    differences = json.loads(done.stdout.splitlines()[-1])
    assert len(differences) == 6
    assert max(differences.values()) < 1e-4, differences
