"""transformers' Auto classes know our models, whichever is imported first."""

import subprocess
import sys

import pytest

CHECK = """
from transformers import AutoConfig, AutoModel, AutoProcessor
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from pdefm.models.dpot.configuration_dpot import DPOTConfig
assert type(AutoConfig.for_model("dpot", hidden_size=16)) is DPOTConfig
assert type(AutoModel.from_config(DPOTConfig(hidden_size=16))).__name__ == "DPOTModel"
assert PROCESSOR_MAPPING[DPOTConfig].__name__ == "PDEProcessor"
print("registered")
"""


def slow(code: str) -> object:
    return pytest.param(code, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "first",
    [
        "import pdefm",
        "from transformers import AutoModel, AutoProcessor; import pdefm",
        "import pdefm.models.dpot.modeling_dpot",
        slow("import transformers; import pdefm"),
        slow("import pdefm.models.dpot.configuration_dpot"),
        slow("import pdefm.models.processing_pde"),
        slow("import pdefm; pdefm.DPOTModel"),
        slow("import pdefm; import importlib; importlib.reload(pdefm)"),
    ],
)
def test_the_auto_classes_know_dpot_after(first):
    done = subprocess.run(
        [sys.executable, "-c", first + CHECK],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.strip().splitlines()[-1:] == ["registered"], done.stderr[-800:]


def test_importing_pdefm_loads_neither_torch_nor_transformers():
    code = (
        "import sys, pdefm; print(*sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
