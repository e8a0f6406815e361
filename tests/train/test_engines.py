"""ZeRO and FSDP2 on two CPU processes: the numbers of one process, killed and resumed."""

import json
import shutil
from importlib.util import find_spec

import pytest
import torch

from pdefm.config import recipes_folder
from pdefm.errors import ModelError, RecipeError
from pdefm.models.loading import load_model
from pdefm.train.accelerator import Engine
from pdefm.train.checkpoint import load_state
from pdefm.train.engines.choice import EngineChoice, choose_engine
from pdefm.train.pretrain import pretrain
from pdefm.train.recipe import TrainSection
from pdefm.yaml_text import parse_yaml
from tests.tiny import tiny_recipe
from tests.train.runs import (
    equal,
    losses,
    start,
    training_lines,
    validations,
    weights,
    write_recipe,
)

WORKER = "tests.train.engine_worker"
TWO = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m", WORKER)
ONE = ("-m", WORKER)
ENGINES = {
    "zero1": {"zero_stage": 1},
    "zero2": {"zero_stage": 2},
    "zero3": {"zero_stage": 3},
    "zero2-offload": {"zero_stage": 2, "offload_optimizer": True},
    "zero3-offload": {"zero_stage": 3, "offload_optimizer": True},
    "fsdp2": {"fsdp": True},
}
# Small enough that every step is clipped.
CLIPPED = {"max_grad_norm": 0.005}


def run(launch, recipe, out, kill_at=0, code=0):
    done = start(*launch, recipe, out, kill_at, OMP_NUM_THREADS="1")
    assert (done.returncode == 0) == (code == 0), done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]) if code == 0 else {}


@pytest.fixture(scope="module")
def alone(tmp_path_factory, tiny_run):
    """The same training in one process without an engine."""
    out = tmp_path_factory.mktemp("alone") / "run"
    pretrain(tiny_recipe(tiny_run.sources, **CLIPPED), out)
    return out


def check_like(out, alone, steps=12, loss=1e-5, norm=1e-3, weight=1e-4):
    pairs = zip(training_lines(out), training_lines(alone), strict=True)
    for found, expected in list(pairs)[:steps]:
        assert found["step"] == expected["step"]
        assert found["shares"] == expected["shares"]
        assert found["loss"] == pytest.approx(expected["loss"], rel=loss)
        assert found["grad_norm"] == pytest.approx(expected["grad_norm"], rel=norm)
    torch.testing.assert_close(weights(out, 12), weights(alone, 12), rtol=1e-3, atol=weight)


@pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs DeepSpeed, which only Linux has")
def test_zero_2_killed_resumed_and_shrunk_equals_one_process(tmp_path, tiny_run, alone):
    recipe = tiny_recipe(tiny_run.sources, zero_stage=2, **CLIPPED)
    recipe = write_recipe(tmp_path / "recipe.yaml", recipe)
    out, fewer = tmp_path / "run", tmp_path / "fewer"
    run(TWO, recipe, out, kill_at=8, code=1)
    before = losses(out)
    assert [step for step, _ in before] == [1, 2, 3, 4, 5, 6, 7]
    shutil.copytree(out, fewer)
    assert run(TWO, recipe, out)["resumed_from"] == 4
    assert losses(out)[:7] == before
    assert "converted" not in (out / "events.jsonl").read_text()
    check_like(out, alone)
    model, _ = load_model(out / "checkpoints/step-000012/model")
    assert equal(model.state_dict(), weights(out, 12))
    names = {p.name for p in (out / "checkpoints/step-000012/state").rglob("*") if p.is_file()}
    assert names == {
        *("state.pt", "made_with.json", "rng-00000.pt", "rng-00001.pt"),
        "mp_rank_00_model_states.pt",
        *(f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt" for rank in range(2)),
    }
    assert run(ONE, recipe, fewer)["resumed_from"] == 4
    lines = (fewer / "events.jsonl").read_text().splitlines()
    event = next(line for line in map(json.loads, lines) if line["event"] == "converted")
    assert event["reason"] == "optimizer state of 2 processes converted for 1"
    check_like(fewer, alone)
    assert sorted(path.name for path in (fewer / "checkpoints").iterdir()) == [
        "best",
        "step-000008",
        "step-000012",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_resumes_bit_for_bit(tmp_path, tiny_run, alone, name):
    recipe = tiny_recipe(tiny_run.sources, **ENGINES[name], **CLIPPED)
    recipe = write_recipe(tmp_path / "recipe.yaml", recipe)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    summary = run(TWO, recipe, whole)
    for step in (7, 11):
        run(TWO, recipe, killed, kill_at=step, code=1)
    again = run(TWO, recipe, killed)
    assert again["resumed_from"] == 8
    assert again["validation"] == summary["validation"]
    assert losses(killed) == losses(whole)
    assert [line["grad_norm"] for line in training_lines(killed)] == [
        line["grad_norm"] for line in training_lines(whole)
    ]
    assert validations(killed) == validations(whole)
    assert equal(weights(killed, 12), weights(whole, 12))
    check_like(whole, alone)
    load_model(whole / "checkpoints/step-000012/model")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zero1", "zero2", "zero3", "fsdp2"])
def test_fewer_and_more_processes_go_on_within_rounding(tmp_path, tiny_run, name):
    more = {"max_steps": 56, "save_steps": 6, **CLIPPED}
    pretrain(tiny_recipe(tiny_run.sources, **more), tmp_path / "alone")
    recipe = tiny_recipe(tiny_run.sources, **ENGINES[name], **more)
    recipe = write_recipe(tmp_path / "recipe.yaml", recipe)
    for first, second, out in ((TWO, ONE, "shrunk"), (ONE, TWO, "grown")):
        run(first, recipe, tmp_path / out, kill_at=7, code=1)
        assert run(second, recipe, tmp_path / out)["resumed_from"] == 6
        pairs = zip(training_lines(tmp_path / out), training_lines(tmp_path / "alone"), strict=True)
        for found, expected in pairs:
            assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zero2", "zero3", "fsdp2"])
def test_bf16_and_checkpointed_activations_train_under_every_engine(tmp_path, tiny_run, name):
    options = {"bf16": True, "gradient_checkpointing": True, **CLIPPED}
    recipe = write_recipe(tmp_path / "alone.yaml", tiny_recipe(tiny_run.sources, **options))
    run(ONE, recipe, tmp_path / "alone")  # a process has one precision
    recipe = tiny_recipe(tiny_run.sources, **ENGINES[name], **options)
    recipe = write_recipe(tmp_path / "recipe.yaml", recipe)
    run(TWO, recipe, tmp_path / "run")
    check_like(tmp_path / "run", tmp_path / "alone", loss=1e-3, norm=1e-2, weight=1e-3)
    dtypes = {weight.dtype for weight in weights(tmp_path / "run", 12).values()}
    assert dtypes == {torch.float32}


def test_checkpointed_activations_change_nothing_but_memory(tmp_path, tiny_run):
    recipe = tiny_recipe(tiny_run.sources, max_steps=4, gradient_checkpointing=True)
    pretrain(recipe, tmp_path / "run")
    pairs = zip(training_lines(tmp_path / "run"), training_lines(tiny_run.folder), strict=False)
    for found, expected in pairs:
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"gradient_checkpointing": True}, {"fsdp": True}])
def test_compiled_parts_compute_the_same(tmp_path, tiny_run, options):
    recipe = tiny_recipe(tiny_run.sources, max_steps=4, compile=True, **options)
    # In a process of its own: the checks of shapes cannot be compiled.
    run(ONE, write_recipe(tmp_path / "recipe.yaml", recipe), tmp_path / "run")
    pairs = zip(training_lines(tmp_path / "run"), training_lines(tiny_run.folder), strict=False)
    for found, expected in pairs:
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-4)


def test_another_engine_cannot_take_over(tiny_run):
    engine = Engine(TrainSection(), None, 0)
    with pytest.raises(ModelError, match="written by another engine: got zero2, now replicated"):
        engine.load_state(tiny_run.folder, {"engine": "zero2", "optimizer": None}, None)


DEEPSPEED = {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2"}
OFFLOADED = DEEPSPEED | {"ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "cpu"}
FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}


@pytest.mark.parametrize(
    ("environment", "keys", "expected"),
    [
        ({}, {}, EngineChoice()),
        ({}, {"zero_stage": 3}, EngineChoice(3)),
        ({}, {"fsdp": True}, EngineChoice(fsdp=True)),
        (DEEPSPEED, {}, EngineChoice(2)),
        (DEEPSPEED, {"zero_stage": 2}, EngineChoice(2)),
        (OFFLOADED, {}, EngineChoice(2, True)),
        (FSDP, {}, EngineChoice(fsdp=True)),
    ],
)
def test_the_launcher_decides_what_the_recipe_leaves_open(monkeypatch, environment, keys, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert choose_engine(TrainSection(**keys)) == expected


@pytest.mark.parametrize(
    ("environment", "keys", "message"),
    [
        (DEEPSPEED, {"zero_stage": 3}, r"train.zero_stage.*ZERO_STAGE=2, train.zero_stage=3"),
        (DEEPSPEED, {"zero_stage": 0}, r"train.zero_stage.*ZERO_STAGE=2, train.zero_stage=0"),
        (DEEPSPEED, {"fsdp": True}, "train.fsdp.*ACCELERATE_USE_DEEPSPEED=true"),
        (OFFLOADED, {"offload_optimizer": False}, "OFFLOAD_OPTIMIZER_DEVICE=cpu"),
        (FSDP, {"fsdp": False}, "ACCELERATE_USE_FSDP=true, train.fsdp=False"),
        (FSDP, {"zero_stage": 1}, "ACCELERATE_USE_FSDP=true, train.zero_stage=1"),
        (FSDP | {"FSDP_VERSION": "1"}, {}, "asks for FSDP 1"),
        ({"ACCELERATE_GRADIENT_CLIPPING": "0.5"}, {}, "CLIPPING=0.5, train.max_grad_norm=1.0"),
        ({"ACCELERATE_DYNAMO_BACKEND": "inductor"}, {}, "inductor, train.compile=False"),
        ({"ACCELERATE_DEEPSPEED_CONFIG_FILE": "a.json"}, {}, "CONFIG_FILE contradicts.*a.json"),
        ({}, {"fsdp": True, "zero_stage": 1}, "exclude each other"),
        ({}, {"offload_optimizer": True}, "offload_optimizer needs ZeRO"),
        ({}, {"zero_stage": 3, "compile": True}, "compile does not go with train.zero_stage 3"),
        ({}, {"zero_stage": 3, "ema_decay": 0.9}, "ema_decay needs all weights"),
    ],
)
def test_contradictions_are_refused_by_name(monkeypatch, environment, keys, message):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RecipeError, match=message):
        choose_engine(TrainSection(**keys))


LAUNCHED = {
    "ddp": EngineChoice(),
    "zero1": EngineChoice(1),
    "zero2": EngineChoice(2),
    "zero2_offload": EngineChoice(2, True),
    "zero3": EngineChoice(3),
    "zero3_offload": EngineChoice(3, True),
    "fsdp2": EngineChoice(fsdp=True),
}


def test_a_file_for_accelerate_is_there_for_every_engine():
    files = {path.stem: path.read_text() for path in (recipes_folder() / "accelerate").iterdir()}
    assert files.keys() == LAUNCHED.keys() | {"cpu", "single_gpu"}
    for name, text in files.items():
        values = parse_yaml(text, name)
        settings = values.get("deepspeed_config", {})
        offloaded = settings.get("offload_optimizer_device") == "cpu"
        stage, fsdp = settings.get("zero_stage", 0), values["distributed_type"] == "FSDP"
        assert EngineChoice(stage, offloaded, fsdp) == LAUNCHED.get(name, EngineChoice())
        assert text.startswith("# ")


@pytest.mark.slow
@pytest.mark.parametrize("name", LAUNCHED)
def test_accelerate_launches_every_engine(tmp_path, tiny_run, alone, name):
    recipe = tiny_recipe(tiny_run.sources, **CLIPPED)
    recipe = write_recipe(tmp_path / "recipe.yaml", recipe)
    file, out = recipes_folder() / "accelerate" / f"{name}.yaml", tmp_path / "run"
    launcher = ("-m", "accelerate.commands.launch", "--config_file", file, "--num_processes", "2")
    done = start(*launcher, "-m", "pdefm", "pretrain", recipe, "--out", out, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr[-3000:]
    check_like(out, alone)
    state = load_state(out / "checkpoints/step-000012")
    assert (state["engine"], state["world_size"]) == (LAUNCHED[name].name, 2)
