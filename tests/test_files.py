import json
import stat
from pathlib import Path

import pytest

from pdefm.errors import EnvironmentFault, ModelError
from pdefm.files import (
    atomic_files,
    atomic_folder,
    file_sha256,
    make_readable,
    verify_manifest,
    write_json_atomic,
    write_manifest,
    write_text_atomic,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "model"
    (place / "part").mkdir(parents=True)
    (place / "weights").write_bytes(b"abc")
    (place / "part" / "more").write_bytes(b"def")
    write_manifest(place)
    return place


def test_sha256_is_that_of_the_standard(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    assert file_sha256(tmp_path / "abc") == expected


def test_an_atomic_write_replaces_the_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new" / "note.txt"
    write_text_atomic(path, "old")
    write_text_atomic(path, "new µ")
    assert path.read_text(encoding="utf-8") == "new µ"
    assert list(path.parent.iterdir()) == [path]


def test_lists_of_numbers_take_one_line_and_nothing_is_changed(tmp_path):
    content = {
        "curve": [1, -2.5e-07, None, float("inf")],
        "nested": [[1, 2], ["a", 3], []],
        "text": "[\n  1,\n  2\n]",
    }
    write_json_atomic(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_text()
    assert '  "curve": [1, -2.5e-07, null, Infinity],\n' in text
    assert json.loads(text) == content


def test_a_write_that_cannot_be_json_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    write_json_atomic(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json_atomic(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}


def test_an_unwritable_place_is_an_environment_fault(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="cannot write"):
        write_text_atomic(tmp_path / "file" / "inside", "text")


def test_files_move_into_a_folder_together_the_last_one_last(tmp_path, monkeypatch):
    moved = []
    monkeypatch.setattr(
        "pdefm.files.os.replace", lambda old, new: moved.append(Path(old).rename(new).name)
    )
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b").write_text("old")
    with atomic_files(tmp_path / "out", last="a") as partial:
        for name in "abc":
            (partial / name).write_text("new")
        assert (tmp_path / "out" / "b").read_text() == "old"
    assert moved == ["b", "c", "a"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "b", "c"]
    assert (tmp_path / "out" / "b").read_text() == "new"


def test_files_stay_as_they_were_when_the_block_fails(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(RuntimeError), atomic_files(tmp_path, last="a") as partial:  # noqa: PT012
        (partial / "a").write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_folder_appears_only_when_the_block_succeeds(tmp_path):
    out = tmp_path / "a" / "out"
    with pytest.raises(FileNotFoundError), atomic_folder(out) as partial:  # noqa: PT012
        (partial / "half").write_text("")
        (partial / "nothing").read_text()
    assert list((tmp_path / "a").iterdir()) == []
    with atomic_folder(out) as partial:
        (partial / "whole").write_text("")
        assert not out.exists()
    assert [path.name for path in out.iterdir()] == ["whole"]


def test_an_existing_folder_is_kept_unless_overwriting(tmp_path):
    out = tmp_path / "out"
    with atomic_folder(out) as partial:
        (partial / "old").write_text("")
    with pytest.raises(EnvironmentFault, match=r"exists.*--overwrite"), atomic_folder(out):
        pass
    with pytest.raises(RuntimeError), atomic_folder(out, overwrite=True):
        raise RuntimeError
    assert (out / "old").exists()
    with atomic_folder(out, overwrite=True) as partial:
        (partial / "new").write_text("")
    assert [path.name for path in out.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [out]


def test_the_folder_one_stands_in_is_never_replaced(tmp_path, monkeypatch):
    (tmp_path / "work" / "inside").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work" / "inside")
    with (
        pytest.raises(EnvironmentFault, match="cannot be replaced"),
        atomic_folder(tmp_path / "work", overwrite=True),
    ):
        pass
    assert (tmp_path / "work" / "inside").is_dir()


def test_private_files_become_readable_as_the_umask_says(folder):
    (folder / "weights").chmod(0o600)
    make_readable(folder)
    (folder / "ordinary").write_text("")
    ordinary = stat.S_IMODE((folder / "ordinary").stat().st_mode)
    assert stat.S_IMODE((folder / "weights").stat().st_mode) == ordinary


def test_an_untouched_folder_passes_and_its_card_may_change(folder):
    verify_manifest(folder)
    (folder / "README.md").write_text("edited later")
    (folder / ".gitattributes").write_text("")
    verify_manifest(folder)


def test_the_prose_of_a_card_may_lie_beside_it(folder):
    (folder / "prose.md").write_text("what it is")
    verify_manifest(folder)


def test_a_flipped_byte_is_found_and_named(folder):
    (folder / "part" / "more").write_bytes(b"dff")
    with pytest.raises(ModelError, match=r"part/more was changed"):
        verify_manifest(folder)


def test_a_missing_file_is_named(folder):
    (folder / "weights").unlink()
    with pytest.raises(ModelError, match="Missing: weights"):
        verify_manifest(folder)


def test_an_extra_file_is_named(folder):
    (folder / "part" / "stranger").write_text("")
    with pytest.raises(ModelError, match="part/stranger"):
        verify_manifest(folder)


def test_only_the_wanted_subfolder_is_checked(folder):
    (folder / "weights").write_bytes(b"changed")
    verify_manifest(folder, under="part")
    with pytest.raises(ModelError, match="weights"):
        verify_manifest(folder)


def test_a_manifest_that_is_no_manifest_is_refused(folder):
    (folder / "manifest.json").write_text("[]")
    with pytest.raises(ModelError, match="not a manifest"):
        verify_manifest(folder)
