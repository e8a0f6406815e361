"""What a command line or a recipe asks to be solved."""

import pytest
import yaml

from pdefm.data.orders import PRESETS, launched_as, orders_for
from pdefm.errors import RecipeError
from pdefm.pdes import PDES

RECIPE = {
    "name": "two",
    "seed": 3,
    "sets": [
        {"family": "allen_cahn", "num_trajectories": 2, "resolution": 16, "num_frames": 3},
        {"family": "darcy", "name": "rock", "resolution": [16, 16], "seed": 4, "split": "valid"},
    ],
}


def recipe(folder, **changes):
    path = folder / "two.yaml"
    path.write_text(yaml.safe_dump(RECIPE | changes))
    return str(path)


def test_one_family_goes_into_the_folder_and_several_below_it(tmp_path):
    (one,) = orders_for(["burgers"], tmp_path)
    assert (one.out, one.num_trajectories, one.resolution, one.num_frames) == (tmp_path, 8, 64, 21)
    two = orders_for(["burgers", "darcy"], tmp_path, num_frames=5, seed=2)
    assert [order.out for order in two] == [tmp_path / "burgers", tmp_path / "darcy"]
    assert [order.num_frames for order in two] == [5, 1], "darcy is steady"
    assert [order.seed for order in two] == [2, 2]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_covers_every_family(tmp_path, preset):
    orders = orders_for(["all"], tmp_path, preset=preset)
    assert [order.family for order in orders] == sorted(PDES)
    for order in orders:
        assert order.plan()["num_trajectories"] == PRESETS[preset].num_trajectories


def test_given_sizes_go_before_the_preset(tmp_path):
    (order,) = orders_for(["burgers"], tmp_path, preset="small", resolution=32)
    assert (order.resolution, order.num_trajectories) == (32, 64)


def test_a_recipe_says_all_sizes(tmp_path):
    first, second = orders_for([recipe(tmp_path)], tmp_path, settings=["sets.0.num_frames=4"])
    assert (first.out, first.num_frames, first.seed) == (tmp_path / "allen_cahn", 4, 3)
    assert (second.out, second.seed, second.split) == (tmp_path / "rock", 4, "valid")
    assert (second.resolution, second.num_frames) == ((16, 16), 1)
    reseeded = orders_for([recipe(tmp_path)], tmp_path, seed=9)
    assert [order.seed for order in reseeded] == [9, 4]


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["burger"], {}, "Did you mean 'burgers'"),
        (["burgers"], {"preset": "smal"}, "Did you mean 'small'"),
        (["all"], {"settings": ["dt=1"]}, "--set is for one family"),
        (["RECIPE"], {"resolution": 3}, "a recipe stands alone.*--resolution"),
        (["RECIPE", "burgers"], {}, "a recipe stands alone"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, names, options, message):
    names = [recipe(tmp_path) if name == "RECIPE" else name for name in names]
    with pytest.raises(RecipeError, match=message):
        orders_for(names, tmp_path, **options)


def test_two_sets_of_one_place_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="two sets of one name"):
        orders_for([recipe(tmp_path, sets=[{"family": "darcy"}] * 2)], tmp_path)


def test_a_launcher_gives_each_process_its_share_and_its_gpu(tmp_path, monkeypatch):
    assert launched_as() == (0, 1)
    for name, value in (("RANK", "3"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert launched_as() == (3, 4)
    assert orders_for(["burgers"], tmp_path, device="cuda")[0].device == "cuda:1"
