"""What users get wrong: one line, the right exit status, and nothing left behind."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tests.models.test_convert_dpot import Hostile
from tests.tiny import tiny_values, write_waves

AXES = ("--axes", "N T C X Y")
HEIGHT = (*AXES, "--names", "height")


@dataclass(frozen=True)
class Workshop:
    """Files that commands use, and the place where they must leave nothing."""

    root: Path
    model: Path
    sea: Path
    out: Path

    def data(self, name, change=None, shape=(3, 7, 1, 16, 16)):
        """Another data file, changed in place."""
        path = write_waves(self.root / name, *shape)
        if change is not None:
            values = np.load(path)
            change(values)
            np.save(path, values)
        return path

    def recipe(self, data=None, **values):
        """A recipe file for one source."""
        source = {"name": "sea", "path": str(data or self.sea), "axes": "N T C X Y"}
        path = self.root / "recipe.yaml"
        path.write_text(yaml.safe_dump(tiny_values([source | {"names": ["height"]}]) | values))
        return path

    def pretrain(self, data=None, *more, **values):
        return ("pretrain", self.recipe(data, **values), "--out", self.out, *more)

    def finetune(self, data=None, *more):
        base = ("--model", self.model, "--set", "train.report_to=none", "--steps", 2)
        return ("finetune", *base, "--data", data or self.sea, "--out", self.out, *more)

    def evaluate(self, data=None, *more, model=None):
        use = ("--model", model or self.model, "--data", data or self.sea)
        return ("evaluate", *use, "--out", self.out, *(more or HEIGHT))

    def rollout(self, out=None, *more, model=None):
        use = ("--model", model or self.model, "--data", self.sea, *HEIGHT)
        return ("rollout", *use, "--out", out or self.root / "out.hdf5", *more)

    def generate(self, *more, out=None):
        small = ("--num-trajectories", 1, "--resolution", 16, "--num-frames", 2)
        return ("data", "generate", "allen_cahn", *small, "--out", out or self.out, *more)

    def copy_of_model(self, name="copy"):
        return Path(shutil.copytree(self.model, self.root / name))

    def damaged_model(self):
        weights = self.copy_of_model() / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
        return weights.parent

    def adapter_of_another_base(self):
        """An adapter whose base is not the tiny model."""
        folder = self.root / "adapter"
        folder.mkdir()
        shutil.copy(self.model / "processor_config.json", folder)
        base = {"name": "someone/else", "revision": None, "sha256": "cd" * 32}
        config = {"format_version": 1, "base": base, "task": "forecasting", "tuner": "full"}
        config |= {"tuner_options": {}, "added_fields": {}, "recipe": {}}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        shutil.copy(self.model / "model.safetensors", folder / "adapter_model.safetensors")
        return folder

    def taken(self, name="out"):
        """An output place that holds something else."""
        place = self.root / name
        if "." in name:
            place.write_text("mine")
            return place
        (place / "data" / "train").mkdir(parents=True)
        (place / "data" / "train" / "allen_cahn.hdf5").write_text("mine")
        return place

    def inside_a_file(self, name="x"):
        """A place that nobody can write to, root neither."""
        (self.root / "file").write_text("")
        return self.root / "file" / name

    def checkpoint(self, **more):
        """No published checkpoint of DPOT."""
        torch.save({"model": {"w": torch.zeros(2)}} | more, self.root / "m.pth")
        return self.root / "m.pth"

    def truncated_checkpoint(self):
        path = self.checkpoint()
        path.write_bytes(path.read_bytes()[:300])
        return path


@pytest.fixture
def shop(tiny_run, tmp_path):
    sea = write_waves(tmp_path / "sea.npy", 3, 7, 1, 16, 16)
    return Workshop(tmp_path, tiny_run.model, sea, tmp_path / "out")


def put_nan(values):
    values[0, 3, 0, 5, 5] = np.nan


CASES = {
    # recipes and usage: 2
    "unknown key": (2, lambda s: s.pretrain(None, "--set", "train.max_step=3"),
                    r"train\.max_step.*max_steps"),
    "unknown key in the file": (2, lambda s: s.pretrain(None, modle={}), r"modle.*model"),
    "wrong value": (2, lambda s: s.pretrain(None, "--set", "train.max_steps=-1"),
                    r"train\.max_steps.*-1"),
    "unknown recipe": (2, lambda s: ("pretrain", "nano_smok", "--out", s.out),
                       "got 'nano_smok'.*nano_smoke"),
    "unknown verb": (2, lambda s: ("pretrian", "x", "--out", s.out), "pretrian.*pretrain"),
    "unknown option": (2, lambda s: s.pretrain(None, "--sed", "1"), "--sed.*--help"),
    "missing option": (2, lambda s: ("pretrain", s.recipe()), "--out.*--help"),
    "option is no number": (2, lambda s: s.rollout(None, "--steps", "ten"), "--steps.*integer"),
    "unknown equation": (2, lambda s: ("data", "generate", "alen_cahn", "--out", s.out),
                         "alen_cahn.*allen_cahn"),
    "unknown tuner": (2, lambda s: s.finetune(None, *HEIGHT, "--tuner", "lara"), "lara.*lora"),
    "unknown kind": (2, lambda s: ("convert", "depot", s.checkpoint(), "--out", s.out),
                     "depot.*dpot"),
    "extent is no number": (2, lambda s: s.finetune(None, *HEIGHT, "--extent", "1,wide"),
                            "extent.*wide"),
    "batch cannot be divided": (2, lambda s: s.pretrain(None, "--set", "train.global_batch_size=5"),
                                "multiple of micro_batch_size.*got 5"),
    "unknown suffix": (2, lambda s: s.rollout(s.root / "out.avi"), r"out\.avi.*\.mp4"),
    "finetune without data": (2, lambda s: ("finetune", "--model", s.model, "--out", s.out),
                              "needs --data"),
    # data: 3
    "missing data": (3, lambda s: s.finetune(s.root / "nowhere.npy", *HEIGHT),
                     r"nowhere\.npy does not exist"),
    "missing data in a recipe": (3, lambda s: s.pretrain(s.root / "nowhere.npy"),
                                 r"nowhere\.npy does not exist"),
    "axes do not fit": (3, lambda s: s.evaluate(None, "--axes", "T X Y", "--names", "height"),
                        r"sea\.npy.*axes"),
    "too few frames": (3, lambda s: s.pretrain(s.data("short.npy", shape=(3, 3, 1, 16, 16))),
                       r"too few frames for history 3 \+ horizon 1: got 3 frames"),
    "too few frames to evaluate": (3, lambda s: s.evaluate(None, *HEIGHT, "--steps", "9"),
                                   "too few frames for history 3.*got 7"),
    "one trajectory": (3, lambda s: s.pretrain(s.data("one.npy", shape=(1, 7, 1, 16, 16))),
                       "at least two trajectories.*got 1"),
    "patches do not tile": (3, lambda s: s.pretrain(s.data("odd.npy", shape=(3, 7, 1, 18, 16))),
                            "divisible by the patch size 4: got 18 x 16"),
    "NaN in training data": (3, lambda s: s.pretrain(s.data("nan.npy", put_nan)),
                             r"nan\.npy.*frame 3.*'height'.*not finite"),
    "NaN in fine-tuning data": (3, lambda s: s.finetune(s.data("nan.npy", put_nan), *HEIGHT),
                                r"nan\.npy.*not finite"),
    "NaN in test data": (3, lambda s: s.evaluate(s.data("nan.npy", put_nan)), "non-finite"),
    "no such trajectory": (3, lambda s: s.rollout(None, "--index", "7"), "got 7.*There are 3"),
    "no steps": (3, lambda s: s.rollout(None, "--steps", "0"), "at least one step.*got 0"),
    # models: 4
    "unknown field": (4, lambda s: s.finetune(None, *AXES, "--names", "salinity"),
                      "'salinity'.*--add-field salinity"),
    "unknown field to evaluate": (4, lambda s: s.evaluate(None, *AXES, "--names", "heigth"),
                                  "heigth.*height"),
    "adapter of another base": (4, lambda s: s.rollout(None, "--adapter",
                                                       s.adapter_of_another_base()),
                                "belongs to base 'someone/else' .cdcdcdcdcdcd.: got"),
    "damaged model": (4, lambda s: s.evaluate(model=s.damaged_model()), r"copy"),
    "publish a damaged model": (4, lambda s: ("publish", s.damaged_model(), "--out", s.out),
                                r"model\.safetensors is not a readable safetensors file"),
    "unknown model": (4, lambda s: s.rollout(model="no-such-model"), "no model 'no-such-model'"),
    "other checkpoint": (4, lambda s: ("convert", "dpot", s.checkpoint(), "--out", s.out),
                         "not a DPOT checkpoint"),
    "hostile checkpoint": (3, lambda s: ("convert", "dpot", s.checkpoint(args=Hostile()),
                                         "--out", s.out), "Only tensors are read"),
    "truncated checkpoint": (3, lambda s: ("convert", "dpot", s.truncated_checkpoint(),
                                           "--out", s.out), "cannot read .*m.pth"),
    # environment: 5
    "nowhere to pretrain": (5, lambda s: ("pretrain", s.recipe(), "--out", s.inside_a_file()),
                            "file/x"),
    "nowhere to generate": (5, lambda s: s.generate(out=s.inside_a_file()), "file/x"),
    "nowhere to publish": (5, lambda s: ("publish", s.model, "--out", s.inside_a_file()), "file/x"),
    "nowhere to evaluate": (5, lambda s: (*s.evaluate(), "--out", s.inside_a_file()), "file/x"),
    "nowhere to roll out": (5, lambda s: s.rollout(s.inside_a_file("x.hdf5")), r"file/x\.hdf5"),
    # numbers: 6
    "numbers explode": (6, lambda s: s.pretrain(None, "--set", "train.learning_rate=1e30"),
                        "not finite at step"),
}  # fmt: skip
LEAVES_A_RUN = {"numbers explode"}


def check_line(done, status, message):
    """Exit status and the one line; lines of progress may come before it."""
    import re

    assert done.status == status, done.err
    *before, line = done.err.splitlines()
    assert line.startswith("pdefm: ")
    assert re.search(message, line), line
    assert [other for other in before if other.startswith("pdefm: ") or "%" in other] == []
    assert "Traceback" not in done.err
    assert done.out == ""


def sizes(root):
    """Everything below a folder but the cache, whose statistics are right whatever comes next."""
    home = root / "home"
    return {p: p.stat().st_size for p in root.rglob("*") if home not in (p, *p.parents)}


@pytest.mark.usefixtures("users_shapes")
@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_one_line_and_leaves_nothing(name, call, shop):
    status, arguments, message = CASES[name]
    command = arguments(shop)
    before = sizes(shop.root)
    check_line(call(*command), status, message)
    after = sizes(shop.root)
    if name not in LEAVES_A_RUN:
        assert after == before


OCCUPIED = {
    "data generate": (lambda s, out: s.generate(out=out), "out"),
    "pretrain": (lambda s, out: s.pretrain(), "out"),
    "finetune": (lambda s, out: s.finetune(None, *HEIGHT), "out"),
    "publish": (lambda s, out: ("publish", s.model, "--out", out), "out"),
    "convert": (lambda s, out: ("convert", "dpot", s.checkpoint(), "--out", out), "out"),
    "evaluate": (lambda s, out: (*s.evaluate(), "--out", out), "out.json"),
    "rollout": (lambda s, out: s.rollout(out), "out.hdf5"),
}


@pytest.mark.parametrize("verb", OCCUPIED)
def test_what_exists_is_not_replaced_unless_told(verb, call, shop):
    arguments, name = OCCUPIED[verb]
    out = shop.taken(name)
    command = arguments(shop, out)
    files = {path: path.read_bytes() for path in shop.root.rglob("*") if path.is_file()}
    check_line(call(*command), 5, rf"{name}.* exists")
    assert {p: p.read_bytes() for p in shop.root.rglob("*") if p.is_file()} == files


def test_the_run_of_another_recipe_is_not_continued(call, shop):
    assert call(*shop.pretrain(None, "--set", "train.max_steps=1")).status == 0
    done = call(*shop.pretrain(None, "--set", "train.max_steps=2"))
    check_line(done, 2, r"another recipe: train\.max_steps is 1 there: got 2")


@pytest.mark.parametrize("place", [0, 2])
def test_debug_shows_the_traceback(call, shop, place):
    from pdefm.errors import DataError

    command = list(shop.pretrain(shop.root / "nowhere.npy"))
    command.insert(place, "--debug")
    with pytest.raises(DataError, match="does not exist"):
        call(*command)
