import json

import pytest
import yaml
from huggingface_hub import ModelCard

from pdefm.errors import EnvironmentFault, ModelError
from pdefm.hub.card import render_card, write_card
from pdefm.hub.folder import CONTRACT_PATTERNS
from tests.evaluation.report_inputs import results
from tests.hub.folders import make_adapter, make_model, make_run, write_json


def test_metadata_is_what_the_hub_reads(tmp_path):
    model = make_model(tmp_path / "waves")
    write_json(model / "results.json", results(own=0.02, adapter=False))
    data = ModelCard(render_card(model)).data
    assert data.library_name == "pdefm"
    assert data.license == "apache-2.0"
    assert {each.metric_type: each.metric_value for each in data.eval_results}[
        "relative_l2"
    ] == pytest.approx(0.041)
    assert data.eval_results[0].dataset_name == "waves-test"


def test_only_datasets_of_the_hub_are_linked(tmp_path):
    model = make_model(tmp_path / "waves")
    assert ModelCard(render_card(model)).data.datasets is None
    origins = [
        "hf://datasets/me/waves@v1/data",
        "hf://datasets/me/waves?split=train",
        "hf://datasets/you/flows",
        "mine.npy",
        "burgers, generate, seed 3",
    ]
    rows = [{"name": f"d{i}", "origin": o, "licence": "mit"} for i, o in enumerate(origins)]
    record = {"datasets": rows, "seconds": 1.0, "steps": 2, "samples_seen": 3}
    write_json(model / "training.json", record)
    card = render_card(model)
    assert ModelCard(card).data.datasets == ["me/waves", "you/flows"]
    assert all(f"| d{i} | {origin} | mit |" in card for i, origin in enumerate(origins))


def test_prose_names_a_model_that_its_folder_does_not(tmp_path):
    model = make_model(tmp_path / "card")
    write_json(model / "results.json", results(adapter=False))
    (model / "prose.md").write_text("---\nmodel_name: dpot-waves\n---\n")
    card = render_card(model)
    assert "# dpot-waves" in card
    assert 'pdefm.resolve("dpot-waves")' in card
    assert ModelCard(card).data.model_name == "dpot-waves"


def test_an_adapter_names_its_base_and_how_to_load_it(tmp_path):
    card = render_card(make_adapter(tmp_path / "lora", base="someone/base"))
    assert ModelCard(card).data.base_model == "someone/base"
    assert 'AutoModel.from_pretrained("someone/base", revision="v1")' in card
    assert 'pdefm.load_adapter(model, "lora")' in card
    assert 'pdefm.resolve("someone/base")' not in card
    assert "| tuner | lora |" in card
    assert "| max_steps | 300 |" in card


def test_a_local_base_does_not_leak_its_path(tmp_path):
    card = render_card(make_adapter(tmp_path / "lora", base="/home/me/secret-project/base"))
    assert "secret-project" not in card
    assert 'AutoModel.from_pretrained(pdefm.resolve("base"))' in card
    assert "base_model" not in yaml.safe_load(card.split("---\n")[1])


def test_without_results_the_card_says_so(tmp_path):
    card = render_card(make_model(tmp_path / "waves"))
    assert "No evaluation has been run yet." in card
    assert "model-index" not in card
    assert "relative L2" not in card


def test_baselines_are_shown_and_the_best_is_bold(tmp_path):
    model = make_model(tmp_path / "waves")
    write_json(model / "results.json", results(own=0.012, adapter=False))
    card = render_card(model)
    assert "| model | evaluated | **0.0246** |" in card
    assert "| persistence | the last known frame repeated | 0.332 |" in card
    assert "loses" not in card


def test_a_model_that_loses_says_so_plainly(tmp_path):
    model = make_model(tmp_path / "waves")
    write_json(model / "results.json", results(own=0.5, adapter=False))
    card = render_card(model)
    assert "On waves-test it loses against persistence and base and scratch." in card
    assert "is worse, with a higher relative L2 error than" in card
    assert "**0.0615**" in card


def test_a_number_that_is_not_finite_is_said_and_kept_from_the_metadata(tmp_path):
    model = make_model(tmp_path / "waves")
    broken = results(adapter=False)
    broken["datasets"]["waves-test"]["metrics"]["relative_l2"] = None
    write_json(model / "results.json", broken)
    card = render_card(model)
    assert "| model | evaluated | not finite |" in card
    assert "relative_l2" not in yaml.safe_dump(yaml.safe_load(card.split("---\n")[1]))


def test_fields_units_and_provenance_come_from_the_files(tmp_path):
    run = make_run(tmp_path / "waves")
    write_json(run / "results.json", results(adapter=False))
    card = render_card(run / "checkpoints" / "step-000500" / "model")
    assert "# waves\n" in card
    assert "| vorticity | 1/s | 0 | 1.5 |" in card
    assert "- time step: 0.1 to 0.2" in card
    assert "- grids: 32 x 32" in card
    assert "- commit: `0123456789abcdef0123456789abcdef01234567`" in card
    assert "- command: `pdefm evaluate" in card
    assert "| learning_rate | 0.001 |" in card


def test_prose_and_its_metadata_win(tmp_path):
    model = make_model(tmp_path / "waves")
    (model / "prose.md").write_text("---\nlicense: mit\nlanguage: en\n---\nMade for **tea**.\n")
    card = render_card(model)
    assert "Made for **tea**." in card
    assert ModelCard(card).data.license == "mit"


def test_results_of_another_shape_are_one_clear_error(tmp_path):
    model = make_model(tmp_path / "waves")
    write_json(model / "results.json", {"datasets": {"x": {}}})
    with pytest.raises(ModelError, match="cannot render a card"):
        render_card(model)


def test_a_card_by_hand_is_never_overwritten_silently(tmp_path):
    model = make_model(tmp_path / "waves")
    write_card(model)
    write_card(model)
    (model / "README.md").write_text("# By hand\n")
    with pytest.raises(EnvironmentFault, match=r"prose\.md"):
        write_card(model)
    assert (model / "README.md").read_text() == "# By hand\n"
    write_card(model, overwrite=True)
    assert "# waves" in (model / "README.md").read_text()


def test_an_adapter_that_does_not_forecast_says_how_it_is_used_and_what_was_measured(tmp_path):
    adapter = make_adapter(tmp_path / "viscosity")
    config = json.loads((adapter / "adapter_config.json").read_text()) | {"task": "inverse"}
    write_json(adapter / "adapter_config.json", config)
    write_json(adapter / "results.json", task_results())
    card = render_card(adapter)
    assert "model.task.predict(model, prepared)" in card
    assert "continues a trajectory" not in card
    assert "| answer | | relative L2 |" in card
    assert "nRMSE" not in card
    assert "| **0.120** |" in card
    assert "**burgers**: 16 trajectories, 6 frames of 0.05" in card
    assert "Task inverse (parameters viscosity, noise_fraction 0.2)" in card
    assert "PDE inverse" in card


def task_results():
    entry = {
        "num_trajectories": 16,
        "num_frames": 6,
        "resolution": [64, 64],
        "dt": 0.05,
        "metrics": {"relative_l2": 0.12, "coverage": 0.9},
        "baselines": {"mean": {"relative_l2": 0.42, "coverage": 0.9}},
    }
    return {
        "model": {"name": "quickstart", "adapter": {"task": "inverse"}},
        "protocol": {
            "task": "inverse",
            "task_options": {"parameters": ["viscosity"], "noise_fraction": 0.2},
            "start_frame": 0,
            "reduction": "the mean",
        },
        "datasets": {"burgers": entry},
    }


def test_a_study_is_on_the_card_and_is_published(tmp_path):
    adapter = make_adapter(tmp_path / "mine")
    study = {
        "shots": [4, 16],
        "errors": {
            "finetuned": {"mean": [0.2, 0.1], "std": [0.01, 0.0]},
            "persistence": {"mean": [0.5, 0.5], "std": [0.0, 0.0]},
        },
        "num_steps": 100,
        "num_seeds": 2,
        "gain": {"sentence": "four times the data"},
        "commit": "abc",
    }
    write_json(adapter / "study.json", study)
    card = render_card(adapter)
    assert "four times the data" in card
    assert "| 4 | 0.2000 ± 0.0100 | 0.5000 |" in card
    assert "study.json" in CONTRACT_PATTERNS
    rates = {"finetuned": 0.002}
    more = study | {"gain": {"sentence": "another"}, "learning_rates": rates}
    write_json(adapter / "study-lakes.json", more)
    card = render_card(adapter)
    assert "100 steps each at a learning rate of 0.002, 2 seeds" in card
    write_json(adapter / "study-lakes.json", more | {"learning_rates": rates | {"fno": 0.01}})
    card = render_card(adapter)
    assert "| learning rate | 0.002 |  |" in card
    assert "### lakes" in card
    assert "four times the data" in card
    assert "another" in card


def test_further_benchmarks_are_tables_of_their_own(tmp_path):
    model = make_model(tmp_path / "waves")
    write_json(model / "results.json", results(own=0.02, adapter=False))
    more = results(own=0.5, adapter=False)
    more["benchmark"] = {"about": "Other grids.", "metrics": ["blow_up_rate"]}
    more["datasets"]["waves-test"]["metrics"]["blow_up_rate"] = 0.25
    write_json(model / "results-other_grids.json", more)
    card = render_card(model)
    part = card.partition("### other grids")[2]
    assert part.startswith("\n\nOther grids.\n\n| dataset | grid | steps | model | ")
    assert " | 0.250 |" in part
    assert more["command"] in part


def test_a_card_of_many_datasets_starts_with_one_table_and_says_where_it_loses(tmp_path):
    model = make_model(tmp_path / "waves")
    many, lost = results(own=0.02, adapter=False), results(own=0.5, adapter=False)
    entry = many["datasets"]["waves-test"]
    many["datasets"] = {name: entry for name in "abc"} | {"d": lost["datasets"]["waves-test"]}
    write_json(model / "results.json", many)
    card = render_card(model)
    assert "lowest relative L2 error on 3 of 4. It loses d to " in card
    assert card.index("| a | ") < card.index("<details>") < card.index("**a**: ")


def test_the_card_of_a_run_is_that_of_what_is_published(tmp_path):
    with pytest.raises(ModelError, match=r"is a run.*pdefm publish"):
        write_card(make_run(tmp_path / "run"))
