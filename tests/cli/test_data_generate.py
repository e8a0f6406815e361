"""`pdefm data generate` with several sets."""

import yaml


def test_a_recipe_of_sets_is_generated_and_goes_on_when_called_again(call, tmp_path):
    small = {"num_trajectories": 3, "resolution": 16, "num_frames": 3, "shard_size": 2}
    sets = [{"family": "allen_cahn", **small}, {"family": "darcy", "resolution": 16}]
    recipe = tmp_path / "sets.yaml"
    recipe.write_text(yaml.safe_dump({"name": "sets", "sets": sets}))
    command = ("data", "generate", recipe, "--out", tmp_path / "out")
    found = call(*command, "--json").result["sets"]
    assert [s["num_trajectories"] for s in found] == [3, 8]
    assert (tmp_path / "out" / "darcy" / "manifest.json").exists()
    again = call(*command)
    assert again.status == 0, again.err
    assert "3 trajectories" not in again.err
    assert "allen_cahn" in again.out
    other = call(*command, "--set", "sets.0.num_frames=4")
    assert other.status == 2
    assert other.err.splitlines()[-1].startswith("pdefm: ")
    assert "other settings: num_frames is 3 there: got 4" in other.err
