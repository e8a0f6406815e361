"""The page as a folder for a Hugging Face Space."""

import pytest
import yaml

from pdefm.demo.space import export_space
from pdefm.errors import EnvironmentFault, RecipeError


def test_the_folder_says_what_a_space_needs(tmp_path):
    out = export_space(tmp_path / "space", ["owner/base"], ["./local"], "6.31.0")
    assert {path.name for path in out.iterdir()} == {"app.py", "requirements.txt", "README.md"}
    facts = yaml.safe_load((out / "README.md").read_text().split("---\n")[1])
    assert (facts["sdk"], facts["sdk_version"], facts["app_file"]) == ("gradio", "6.31.0", "app.py")
    assert facts["models"] == ["owner/base"]
    assert "pdefm[demo]" in (out / "requirements.txt").read_text().splitlines()
    compile((out / "app.py").read_text(), "app.py", "exec")


def test_a_folder_that_holds_something_and_a_space_without_a_model_are_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(EnvironmentFault, match="is not empty"):
        export_space(tmp_path, ["owner/base"], [], "6.31.0")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(RecipeError, match="needs a model"):
        export_space(tmp_path / "space", [], [], "6.31.0")
    assert not (tmp_path / "space").exists()
