"""Trajectories to a Hub and back, over real HTTP against a test double on loopback."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from pdefm.data.convert import Conversion
from pdefm.data.generate import generate
from pdefm.data.open import open_trajectories
from tests.hub.hub_double import HubDouble, start
from tests.hub.test_round_trip import client_process

CANARY = "hf_canaryTokenThatMustNeverShow"


@pytest.fixture(scope="module")
def hub():
    double = HubDouble()
    server = start(double)
    yield double
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def settings(hub, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home / "hf"),
        "HF_TOKEN": CANARY,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PDEFM_HOME": str(home / "pdefm"),
    }


@pytest.fixture(scope="module")
def client(settings):
    with client_process(**settings) as call:
        yield call


def convert(folder: Path, seed: int = 0, num: int = 5) -> Path:
    """A converted folder: two files of 16 x 8 with two fields, one trajectory left out."""
    folder.mkdir(parents=True)
    values = np.random.default_rng(seed).normal(size=(num, 4, 2, 16, 8)).astype(np.float32)
    values[1, 2, 0, 3, 3] = np.nan
    np.save(folder / "mine.npy", values)
    options = {"axes": "N T C X Y", "names": "u,v", "units": "m/s,m/s", "dt": 0.5}
    options |= {"extent": "2,1", "boundary": "periodic"}
    size = 3 * values[0].nbytes
    Conversion(folder / "mine.npy", folder / "out", file_bytes=size, **options).run()
    return folder / "out"


def hashes(folder: Path, **options) -> list[str]:
    found = open_trajectories(folder, **options)
    return [hashlib.sha256(t.fields.numpy().tobytes()).hexdigest() for t in found]


@pytest.fixture(scope="module")
def published(client, tmp_path_factory):
    """A converted folder, and what was said when it was published as ``me/mine``."""
    folder = convert(tmp_path_factory.mktemp("mine") / "work")
    said = client("publish_data", folder=folder, repository="me/mine", licence="cc-by-4.0")
    return folder, said


def test_a_converted_folder_makes_the_round_trip(hub, client, published):
    folder, (url, revision, files) = published
    assert url == f"{hub.url}/datasets/me/mine"
    assert set(files) == hub.files("datasets/me/mine").keys() - {".gitattributes"}
    assert {"README.md", "frames.png", "manifest.json", "conversion.json", "stats.yaml"} < set(
        files
    )
    for place in ("hf://datasets/me/mine", f"hf://datasets/me/mine@{revision}"):
        found = client("open_data", path=place)
        assert found["sha256"] == hashes(folder)
        assert (found["format"], found["licence"], found["length"]) == ("hub", "cc-by-4.0", 4)
        assert (found["names"], found["dt"]) == (["u", "v"], 0.5)
        assert found["sources"][0] == f"{place}/data/train/mine-00000.hdf5[0]"
    assert client("open_data", path=place, split="train")["sha256"] == hashes(folder)
    one = f"{place}/data/train/mine-00001.hdf5"
    assert client("open_data", path=one)["sha256"] == hashes(folder)[2:]


def test_the_card_says_what_is_there_and_nothing_of_this_machine(hub, published):
    folder, _ = published
    content = hub.files("datasets/me/mine")
    card = content["README.md"].decode()
    for part in (
        "license: cc-by-4.0",
        "- pde\n",
        "n<1K",
        'pdefm.open_trajectories("hf://datasets/me/mine", split="train")',
        "| u, v | 16 x 8 | 2 x 1 | 4 | 0.5 | periodic |",
        "| train | 4 |",
        "`mine.npy`, number 1:",
        "licence of the source: not recorded",
    ):
        assert part in card, part
    assert content["frames.png"].startswith(b"\x89PNG")
    home = str(Path.home()).encode()
    for file, data in content.items():
        for secret in (CANARY.encode(), str(folder.parents[1]).encode(), home + b"/", b"/tmp/"):
            assert secret not in data, (file, secret)


def test_only_the_first_file_is_downloaded_for_the_first_trajectory(hub, client, tmp_path):
    folder = convert(tmp_path / "lazy", seed=3)
    client("publish_data", folder=folder, repository="me/lazy", licence="mit")
    hub.requests.clear()
    client("open_data", path="hf://datasets/me/lazy", indices=[0])
    fetched = {path.rpartition("/")[2] for verb, path in hub.requests if verb == "GET"}
    assert "mine-00000.hdf5" in fetched
    assert "mine-00001.hdf5" not in fetched


def test_a_pinned_revision_stays_after_a_second_publication(client, tmp_path):
    first, second = convert(tmp_path / "a", seed=1), convert(tmp_path / "b", seed=2, num=3)
    options = {"repository": "me/pinned", "licence": "mit"}
    _, old, _ = client("publish_data", folder=first, **options)
    _, new, _ = client("publish_data", folder=second, **options)
    for revision, folder in ((old, first), (new, second), ("main", second)):
        found = client("open_data", path=f"hf://datasets/me/pinned@{revision}")
        assert found["sha256"] == hashes(folder)


def test_a_generated_folder_is_published_with_its_splits(hub, client, tmp_path):
    sizes = {"resolution": 16, "num_frames": 3, "seed": 0, "out": tmp_path / "g"}
    for split, count in (("train", 2), ("valid", 1)):
        generate("allen_cahn", num_trajectories=count, split=split, **sizes)
    said = client("publish_data", folder=tmp_path / "g", repository="me/solved", revision="v1")
    assert len(said) == 3, said
    found = client("open_data", path="hf://datasets/me/solved@v1", split="valid")
    assert found["sha256"] == hashes(tmp_path / "g", split="valid")
    assert client("open_data", path="hf://datasets/me/solved@v1?split=train")["length"] == 2
    card = hub.files("datasets/me/solved", "v1")["README.md"].decode()
    assert "allen cahn" in card
    assert "license: apache-2.0" in card
    files = client("convert_data", path="hf://datasets/me/solved@v1", out=tmp_path / "again")
    assert files == ["data/train/solved-00000.hdf5", "data/valid/solved-00000.hdf5"]
    assert hashes(tmp_path / "again") == hashes(tmp_path / "g")
    status, message = client("open_data", path="hf://datasets/me/solved@v1", split="test")
    assert (status, "has no split 'test'" in message) == (3, True)


def test_offline_the_cache_serves_without_a_socket(client, settings, published):
    folder, _ = published
    client("open_data", path="hf://datasets/me/mine")
    with client_process(**settings | {"HF_HUB_OFFLINE": "1"}) as offline:
        found = offline("open_data", path="hf://datasets/me/mine")
        assert found["sha256"] == hashes(folder)
        assert found["connections"] == 0
        status, message = offline("open_data", path="hf://datasets/me/other")
        assert (status, "cannot reach the Hub" in message) == (5, True)


def test_a_private_dataset_needs_a_token(hub, client, settings, tmp_path):
    folder = convert(tmp_path / "p", seed=5)
    options = {"repository": "me/private", "licence": "mit"}
    client("publish_data", folder=folder, private=True, **options)
    assert hub.repositories["datasets/me/private"].private
    stranger = settings | {"HF_TOKEN": "", "HF_HOME": str(tmp_path / "hf")}
    with client_process(**stranger) as other:
        status, message = other("open_data", path="hf://datasets/me/private")
    assert (status, "needs a login" in message) == (3, True)
    assert client("open_data", path="hf://datasets/me/private")["sha256"] == hashes(folder)


def test_what_is_not_there_is_one_line(client, published):
    for place, status, part in (
        ("hf://datasets/me/nothing", 3, "no dataset 'me/nothing'"),
        ("hf://datasets/me/mine@v9", 3, "no such revision: got 'v9'"),
        ("hf://datasets/me/mine/elsewhere", 3, "holds no data files below elsewhere"),
        ("hf://models/me/mine", 2, "not the URI of a dataset"),
        ("hf://datasets/me/mine?spilt=train", 2, "Did you mean 'split'"),
        ("hf://datasets/me/mine/../../x", 2, "not the URI of a dataset"),
        ("hf://datasets/me/mine?stream=true", 2, "cannot be looked into first"),
    ):
        found = client("open_data", path=place)
        assert found[0] == status, found
        assert part in found[1], found
        assert "\n" not in found[1]
        assert CANARY not in found[1]


def test_a_byte_flipped_on_the_hub_is_noticed_before_the_file_is_opened(hub, client, tmp_path):
    folder = convert(tmp_path / "f", seed=6)
    client("publish_data", folder=folder, repository="me/flipped", licence="mit")
    data = (folder / "data/train/mine-00000.hdf5").read_bytes()
    oid = hashlib.sha256(data).hexdigest()
    hub.blobs[oid] = data[:-1] + bytes([data[-1] ^ 1])
    status, message = client("open_data", path="hf://datasets/me/flipped")
    assert (status, "has other bytes than were published" in message) == (3, True), message


def test_without_a_manifest_the_hash_of_the_hub_is_checked(hub, client, published):
    folder, _ = published
    data = (folder / "data/train/mine-00001.hdf5").read_bytes() + b"more"
    hub.put("datasets/me/foreign", {"data/train/x.hdf5": data})
    assert client("open_data", path="hf://datasets/me/foreign")["length"] == 2
    other = data[:-1] + b"E"
    oid = hashlib.sha256(other).hexdigest()
    hub.put("datasets/me/lying", {"data/train/x.hdf5": other})
    hub.blobs[oid] = data
    status, message = client("open_data", path="hf://datasets/me/lying")
    assert (status, "has other bytes" in message) == (3, True), message


def test_a_file_beside_the_manifest_is_refused(hub, client, published):
    files = dict(hub.files("datasets/me/mine"))
    hub.put("datasets/me/added", files | {"data/train/zz.hdf5": b"\x89HDF\r\n\x1a\n"})
    status, message = client("open_data", path="hf://datasets/me/added")
    assert (status, "zz.hdf5 is not in the manifest" in message) == (3, True), message


@pytest.mark.parametrize("name", ["../../x.hdf5", "/etc/x.hdf5", "C:\\x.hdf5", "a//b.h5", "a\x1bb"])
def test_hostile_names_are_refused(hub, client, name):
    hub.put("datasets/me/hostile", {name: b"\x89HDF\r\n\x1a\n"})
    status, message = client("open_data", path="hf://datasets/me/hostile")
    assert status == 3, message
    assert "name leads elsewhere" in message
    assert "\x1b" not in message


def test_a_hostile_file_is_refused_by_the_probe(hub, client, tmp_path):
    import h5py

    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        file["u"] = h5py.ExternalLink("/etc/passwd", "/u")
    hub.put("datasets/me/link", {"x.hdf5": (tmp_path / "x.hdf5").read_bytes()})
    status, message = client("open_data", path="hf://datasets/me/link")
    assert status == 3, message
    assert "link" in message


def test_other_formats_and_folders_of_cases_are_read_too(hub, client, tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 8, 8)).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    np.save(tmp_path / "b.npy", values + 1)
    content = {f"{n}.npy": (tmp_path / f"{n}.npy").read_bytes() for n in "ab"}
    hub.put("datasets/me/arrays", content | {"notes.txt": b"hello"})
    found = client("open_data", path="hf://datasets/me/arrays", axes="T X Y", dt=0.25)
    assert (found["length"], found["dt"]) == (2, 0.25)
    assert found["sha256"][0] == hashlib.sha256(values.tobytes()).hexdigest()
    explicit = client("open_data", path="hf://datasets/me/arrays/b.npy", format="arrays",
                      axes="T X Y", dt=0.25)  # fmt: skip
    assert explicit["sha256"] == found["sha256"][1:]


def test_a_streamed_file_has_the_values_of_the_downloaded_one(hub, client, published):
    folder, _ = published
    data = (folder / "data/train/mine-00000.hdf5").read_bytes()
    hub.put("datasets/me/streamed", {"data/train/x.hdf5": data})
    hub.requests.clear()
    found = client("open_data", path="hf://datasets/me/streamed?stream=true", trust=True)
    assert found["sha256"] == hashes(folder)[:2]


def rows(values: list[np.ndarray], **columns) -> bytes:
    """A parquet file with a row a trajectory."""
    table = {
        "fields": pyarrow.array([v.tobytes() for v in values], pyarrow.large_binary()),
        "shape": [list(v.shape) for v in values],
        "dtype": [str(v.dtype) for v in values],
    }
    target = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(table | columns), target, row_group_size=2)
    return target.getvalue()


@pytest.fixture
def table():
    generator = np.random.default_rng(0)
    shapes = [(4, 2, 8, 6), (4, 2, 8, 6), (5, 2, 12, 6)]
    return [generator.normal(size=shape).astype(np.float32) for shape in shapes]


CARD = """---
license: cc-by-4.0
pdefm:
  names: [u, v]
  units: [m/s, m/s]
  dt: 0.5
  boundary: periodic
---
"""


@pytest.mark.parametrize("options", [{}, {"stream": True}])
def test_rows_of_bytes_become_trajectories(hub, client, table, options):
    files = {"data/train-0.parquet": rows(table), "README.md": CARD.encode()}
    hub.put("datasets/me/rows", files)
    end = "?stream=true" if options else ""
    found = client("open_data", path=f"hf://datasets/me/rows{end}", trust=bool(options))
    assert isinstance(found, dict), found
    assert found["sha256"] == [hashlib.sha256(v.tobytes()).hexdigest() for v in table]
    assert (found["names"], found["dt"], found["licence"]) == (["u", "v"], 0.5, "cc-by-4.0")
    back = client("open_data", path=f"hf://datasets/me/rows{end}", trust=bool(options),
                  indices=[2, 0])  # fmt: skip
    assert back["sha256"] == [found["sha256"][2], found["sha256"][0]]


def test_rows_that_lie_about_their_shape_are_refused(hub, client, table):
    for number, (columns, part) in enumerate(
        [
            ({"shape": [[4, 2, 8, 7]] * 3}, "bytes do not fit the shape"),
            ({"shape": [[4, 2]] * 3}, "shape must be time, channel"),
            ({"dtype": ["object"] * 3}, "unknown dtype"),
        ]
    ):
        hub.put(f"datasets/me/lies-{number}", {"a.parquet": rows(table, **columns)})
        status, message = client("open_data", path=f"hf://datasets/me/lies-{number}", dt=1.0)
        assert (status, part in message) == (3, True), message


def test_a_table_of_something_else_says_which_columns_are_needed(hub, client):
    target = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a", "b"]}), target)
    hub.put("datasets/me/text", {"a.parquet": target.getvalue()})
    status, message = client("open_data", path="hf://datasets/me/text")
    assert (status, "columns fields and shape" in message) == (3, True), message


def test_a_licence_that_is_unknown_or_non_commercial_must_be_said(client, tmp_path):
    folder = convert(tmp_path / "l")
    status, message = client("publish_data", folder=folder, repository="me/l")
    assert (status, "--licence" in message) == (2, True), message


def test_a_changed_folder_is_not_published(hub, client, tmp_path):
    folder = convert(tmp_path / "c")
    path = folder / "data/train/mine-00000.hdf5"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    options = {"repository": "me/changed", "licence": "mit"}
    status, message = client("publish_data", folder=folder, **options)
    assert (status, "was changed" in message) == (3, True), message
    path.write_bytes(data)
    (folder / "secret.txt").write_text(CANARY)
    status, message = client("publish_data", folder=folder, **options)
    assert (status, "secret.txt" in message) == (3, True), message
    status, message = client("publish_data", folder=tmp_path, **options)
    assert (status, "not a folder that pdefm wrote" in message) == (3, True), message
    assert "datasets/me/changed" not in hub.repositories


def test_the_verbs_work_and_never_show_the_token(client, settings, tmp_path):
    folder = convert(tmp_path / "v")
    publish = ["data", "publish", str(folder), "--repo"]
    calls = [
        ([*publish, "me/verb", "--licence", "mit"], 0),
        ([*publish, "me/verb", "--licence", "mit", "--json"], 0),
        (["data", "inspect", "hf://datasets/me/verb", "--json"], 0),
        (["data", "inspect", "hf://datasets/me/none"], 3),
        ([*publish, "no id"], 3),
        ([*publish, "me/x"], 2),
    ]
    answers = [client("run_cli", arguments=arguments) for arguments, _ in calls]
    assert [answer[0] for answer in answers] == [status for _, status in calls], answers
    assert "/datasets/me/verb at revision" in answers[0][1]
    assert json.loads(answers[1][1]).keys() == {"url_or_path", "revision", "files"}
    assert json.loads(answers[2][1])["num_trajectories"] == 4
    assert not any(CANARY in text for answer in answers for text in answer[1:])
    home = Path(settings["HF_HOME"])
    kept = [p for p in [*home.rglob("*"), *folder.rglob("*")] if p.is_file()]
    assert not any(CANARY.encode() in path.read_bytes() for path in kept)
