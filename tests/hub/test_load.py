"""Loading by name: a base, or an adapter onto its base."""

import pytest
import torch

from pdefm.errors import ModelError
from pdefm.hub.load import load_adapter, load_by_name
from pdefm.models.loading import save_model
from tests.test_adapters import THREE, make_adapter
from tests.tiny_dpot import NAMES, frames, tiny_model, tiny_processor


def test_load_adapter_takes_a_folder_and_hands_the_processor_over(tmp_path):
    _, model = make_adapter(tmp_path / "adapter")
    loaded = load_adapter(tiny_model(), str(tmp_path / "adapter"))
    assert torch.equal(loaded(frames(3)).prediction, model(frames(3)).prediction)
    assert loaded.processor.fields == tiny_processor(THREE).fields


@pytest.mark.usefixtures("users_shapes")
def test_load_adapter_refuses_what_is_no_base(tmp_path):
    _, model = make_adapter(tmp_path / "adapter")
    with pytest.raises(ModelError, match="goes onto a DPOTModel: got PeftModel"):
        load_adapter(model, str(tmp_path / "adapter"))


def test_load_by_name_gives_the_base_or_the_adapted_model(tmp_path):
    _, model = make_adapter(tmp_path / "adapter")
    (tmp_path / "base").mkdir()
    save_model(tmp_path / "base", tiny_model(), tiny_processor())
    base, processor = load_by_name(str(tmp_path / "base"))
    assert torch.equal(base(frames()).prediction, tiny_model()(frames()).prediction)
    assert set(processor.fields) == set(NAMES)
    adapted, processor = load_by_name(str(tmp_path / "base"), str(tmp_path / "adapter"))
    assert torch.equal(adapted(frames(3)).prediction, model(frames(3)).prediction)
    assert set(processor.fields) == set(THREE)
