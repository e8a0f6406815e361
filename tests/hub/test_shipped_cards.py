"""The cards in model_cards/ are what the files beside them say."""

from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from pdefm.hub.card import render_card
from pdefm.hub.folder import ADAPTER_CONFIG, CONFIG, PROCESSOR, RESULTS, TRAINING, read_json

CARDS = Path(__file__).parents[2] / "model_cards"
FOLDERS = sorted(path for path in CARDS.iterdir() if path.is_dir())
MAX_JSON = 1_000_000


def test_there_are_cards_of_the_shipped_model_and_of_the_quickstart():
    assert {"dpot-nano", "quickstart"} <= {folder.name for folder in FOLDERS}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_card_is_rendered_from_the_files_beside_it(folder):
    assert (folder / "README.md").read_text(encoding="utf-8") == render_card(folder)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_files_that_a_card_is_made_of_are_there_and_small(folder):
    assert (folder / CONFIG).is_file() or (folder / ADAPTER_CONFIG).is_file()
    for name in (PROCESSOR, RESULTS, TRAINING):
        assert (folder / name).stat().st_size < MAX_JSON, name


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_number_of_the_metadata_is_in_the_results(folder):
    found = ModelCard.load(folder / "README.md").data.eval_results
    datasets = read_json(folder / RESULTS)["datasets"]
    assert found
    for each in found:
        assert each.metric_value == datasets[each.dataset_name]["metrics"][each.metric_type]
