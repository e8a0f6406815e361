"""The rules of the house that no other tool checks."""

import ast
import fnmatch
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE_FOLDERS = ("pdefm", "tests", "scripts")
CODE_SUFFIXES = {".py", ".sh", ".jinja", ".j2", ""}
TOP_LEVEL = {
    *("pyproject.toml", "README.md", "LICENSE"),
    *("pdefm", "recipes", "model_cards", "tests", "scripts"),
}
MAX_FILE_LINES, MAX_MODELING_LINES, MAX_FUNCTION_LINES = 400, 700, 60
HEAVY = {"torch", "transformers", "peft", "h5py", "matplotlib", "datasets", "accelerate"}


def house_files() -> list[Path]:
    """Files that git tracks or would; without git, all that .gitignore does not name."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0 and listed.stdout:
        return [p for name in listed.stdout.split("\0") if name and (p := ROOT / name).is_file()]
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().split()]
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file()
        and not any(
            part == ".git" or fnmatch.fnmatch(part, pattern)
            for part in path.relative_to(ROOT).parts
            for pattern in ignored
        )
    ]


FILES = house_files()
CODE = [
    path
    for path in FILES
    if path.relative_to(ROOT).parts[0] in CODE_FOLDERS and path.suffix in CODE_SUFFIXES
]


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and number of body lines of every function, the docstring left out."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            first = body[0].lineno if body else node.end_lineno
            yield node.name, (node.end_lineno or 0) - (first or 0)


def is_python(path: Path) -> bool:
    first_line = path.read_text(encoding="utf-8").partition("\n")[0]
    return path.suffix == ".py" or (first_line.startswith("#!") and "python" in first_line)


def test_the_rules_see_the_code():
    names = {path.relative_to(ROOT).as_posix() for path in CODE}
    assert {"pdefm/errors.py", "tests/contracts/test_house.py", "scripts/setup.sh"} <= names


def test_no_file_is_too_long():
    too_long = {}
    for path in CODE:
        limit = MAX_MODELING_LINES if path.name.startswith("modeling_") else MAX_FILE_LINES
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > limit:
            too_long[path.relative_to(ROOT).as_posix()] = lines
    assert not too_long


def test_no_function_is_too_long():
    too_long = {
        f"{path.relative_to(ROOT).as_posix()}:{name}": lines
        for path in CODE
        if is_python(path)
        for name, lines in functions(path)
        if lines > MAX_FUNCTION_LINES
    }
    assert not too_long


def test_the_top_level_holds_only_what_the_picture_shows():
    entries = {path.relative_to(ROOT).parts[0] for path in FILES}
    assert {name for name in entries if not name.startswith(".")} <= TOP_LEVEL


def test_every_dependency_says_why_it_is_there():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    start, stop = text.index("\ndependencies = ["), text.index("\n[project.scripts]")
    lines = [line for line in text[start:stop].splitlines() if line.strip().startswith('"')]
    project = tomllib.loads(text)["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    assert len(lines) == sum(len(group) for group in groups)
    assert [line for line in lines if not re.search(r'",?\s+# \S+', line)] == []


def test_tested_versions_name_no_host_path_or_local_build():
    lines = (ROOT / "scripts/constraints.txt").read_text().splitlines()
    pinned = [line for line in lines if not line.startswith("#")]
    assert [line for line in pinned if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    assert "torch==2.13.0" in pinned


def test_recipes_and_models_are_shipped_in_the_wheel():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"][
        "targets"
    ]["wheel"]
    shipped = ("recipes", "model_cards")
    assert {"pdefm", *shipped} == set(wheel["only-include"])
    assert wheel["sources"] == {name: f"pdefm/{name}" for name in shipped}
    assert {path.relative_to(ROOT).parts[0] for path in FILES} >= set(shipped)


@pytest.mark.parametrize(
    "arguments",
    [["-c", "import pdefm"], ["-c", "import pdefm.errors, pdefm.registry, pdefm.config"]],
)
def test_importing_the_package_is_cheap(arguments):
    assert not HEAVY & modules_loaded_by(*arguments)


def test_the_help_of_the_command_line_is_cheap():
    assert not HEAVY & modules_loaded_by("-m", "pdefm", "--help")


def modules_loaded_by(*arguments: str) -> set[str]:
    """Top-level modules that a fresh interpreter imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
