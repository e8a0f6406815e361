"""One page of equations, and the table of them."""

import pytest
from PIL import Image

from pdefm.data.gallery import gallery
from pdefm.errors import RecipeError
from pdefm.pdes import PDES

SOME = ("burgers", "darcy", "korteweg_de_vries")


def test_a_page_has_a_panel_for_each_equation(tmp_path):
    finished = []
    arguments = {"num_frames": 3, "progress": finished.append}
    page = gallery(tmp_path / "some.png", families=SOME, resolution=32, **arguments)
    first = Image.open(page).convert("RGB")
    assert sum(finished) == 3
    assert first.width > 2 * first.height
    third = first.width // 3
    for column in range(3):
        panel = first.crop((column * third, 0, (column + 1) * third, first.height))
        assert len(panel.getcolors(2**24)) > 50


def test_another_seed_is_another_picture(tmp_path):
    pages = [
        gallery(tmp_path / f"{seed}.png", families=["burgers"], resolution=16, seed=seed)
        for seed in (0, 0, 1)
    ]
    first, again, other = (page.read_bytes() for page in pages)
    assert first == again
    assert first != other


def test_an_unknown_family_leaves_nothing(tmp_path):
    with pytest.raises(RecipeError, match="Did you mean 'burgers'"):
        gallery(tmp_path / "page.png", families=["burger"])
    assert not list(tmp_path.iterdir())


def test_the_table_says_what_every_equation_is():
    from pdefm.hub.listing import list_pdes

    found = list_pdes()
    assert sorted(found) == sorted(PDES)
    assert found["burgers"]["fields"] == dict.fromkeys(
        ("velocity_x", "velocity_y"), "dimensionless"
    )
    assert found["burgers"]["boundary"] == ["periodic"]
    assert found["darcy"]["steady"]
    assert found["darcy"]["dt"] is None
    assert found["korteweg_de_vries"]["num_dims"] == 1
    low, high = found["burgers"]["parameters"]["viscosity"]
    assert 0 < low < high
