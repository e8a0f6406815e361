"""Publishing to a Hub and loading from it, over real HTTP against a test double on loopback.

The client runs in its own process: huggingface_hub reads its environment when it is imported.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from tests.hub.folders import make_adapter, make_model, make_run
from tests.hub.hub_double import HubDouble, StoredFile, start
from tests.tiny import tiny_values, write_sources

Client = Callable[..., Any]
CANARY = "hf_canary_of_the_models"


@contextmanager
def client_process(**environment: str) -> Iterator[Client]:
    """A user's process with its own environment; call it as ``client("resolve", ...)``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.hub.client_worker"],
        cwd=Path(__file__).parents[2],
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def call(name: str, **arguments: object) -> Any:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([name, arguments], default=str) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield call
    process.stdin.close()
    process.wait(timeout=60)
    process.stdout.close()


@pytest.fixture(scope="module")
def hub() -> Iterator[HubDouble]:
    double = HubDouble()
    server = start(double)
    yield double
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def settings(hub: HubDouble, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
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
def client(settings: dict[str, str]) -> Iterator[Client]:
    with client_process(**settings) as call:
        yield call


def test_a_run_is_published_and_resolved_byte_by_byte(hub, client, tmp_path):
    run = make_run(tmp_path / "runs" / "waves")
    url, revision, files = client("publish", folder=run, repo="me/waves")
    assert url == f"{hub.url}/me/waves"
    assert files == [
        "README.md",
        "config.json",
        "manifest.json",
        "model.safetensors",
        "processor_config.json",
        "training.json",
    ]
    folder = Path(client("resolve", name_or_repo="me/waves", revision=revision))
    trained = run / "checkpoints" / "step-000500" / "model" / "model.safetensors"
    assert (folder / "model.safetensors").read_bytes() == trained.read_bytes()
    assert [f"me/waves@{revision}", "hub cache", 7, ["vorticity"]] in client("list")


def test_optimizer_state_and_stray_files_never_reach_the_hub(hub, client, tmp_path):
    client("publish", folder=make_run(tmp_path / "run"), repo="me/clean")
    content = hub.files("me/clean")
    assert "model.safetensors" in content
    assert not any("optimizer" in name or name.endswith(".bin") for name in content)
    assert not any(b"moments" in data or b"hf_test_double" in data for data in content.values())


def test_a_pinned_revision_stays_after_a_second_publication(client, tmp_path):
    first_model = make_model(tmp_path / "a", value=1.0)
    second_model = make_model(tmp_path / "b", value=2.0)
    _, first, _ = client("publish", folder=first_model, repo="me/pinned")
    _, second, _ = client("publish", folder=second_model, repo="me/pinned")
    assert first != second
    for revision, model in ((first, first_model), (second, second_model)):
        folder = Path(client("resolve", name_or_repo=f"me/pinned@{revision}"))
        published = (folder / "model.safetensors").read_bytes()
        assert published == (model / "model.safetensors").read_bytes()


def test_a_branch_is_made_for_a_named_revision(hub, client, tmp_path):
    client("publish", folder=make_model(tmp_path / "a"), repo="me/branched", revision="v2")
    assert "model.safetensors" in hub.files("me/branched", "v2")
    assert "model.safetensors" not in hub.files("me/branched", "main")


def test_private_is_passed_on(hub, client, tmp_path):
    client("publish", folder=make_model(tmp_path / "a"), repo="me/secret", private=True)
    assert hub.repositories["me/secret"].private


def test_files_of_an_earlier_version_are_removed_from_the_hub(hub, client, tmp_path):
    client("publish", folder=make_model(tmp_path / "a"), repo="me/changed")
    client("publish", folder=make_adapter(tmp_path / "b"), repo="me/changed")
    assert "model.safetensors" not in hub.files("me/changed")
    assert "adapter_model.safetensors" in hub.files("me/changed")


def test_an_adapter_makes_the_round_trip(client, tmp_path):
    client("publish", folder=make_adapter(tmp_path / "adapter"), repo="me/waves-lora")
    folder = Path(client("resolve", name_or_repo="me/waves-lora"))
    assert (folder / "adapter_model.safetensors").is_file()
    assert 'pdefm.load_adapter(model, "me/waves-lora")' in (folder / "README.md").read_text()


def test_a_byte_changed_on_the_hub_is_noticed(hub, client, tmp_path):
    client("publish", folder=make_model(tmp_path / "a", value=77.0), repo="me/damaged")
    weights = (tmp_path / "a" / "model.safetensors").read_bytes()
    oid = next(oid for oid, blob in hub.blobs.items() if blob == weights)
    hub.blobs[oid] = weights[:-1] + bytes([weights[-1] ^ 1])
    status, message = client("resolve", name_or_repo="me/damaged")
    assert status == 4
    assert "model.safetensors was changed" in message


def test_an_unknown_repository_or_revision_is_a_model_error(client, tmp_path):
    status, message = client("resolve", name_or_repo="me/nothing")
    assert status == 4
    assert "not on the Hub" in message
    client("publish", folder=make_model(tmp_path / "a"), repo="me/known")
    status, message = client("resolve", name_or_repo="me/known", revision="v9")
    assert status == 4
    assert "'v9'" in message


@pytest.mark.parametrize("options", [{}, {"max_shard_size": "5KB"}])
def test_a_model_pushed_by_transformers_comes_back_with_the_same_bits(hub, client, options):
    repo = f"me/pushed-{len(options)}"
    pushed = client("push_to_hub", repo=repo, seed=1, **options)
    first = hub.repositories[repo].branches["main"]
    assert len(pushed) == 64
    assert client("from_pretrained", repo=repo) == pushed
    later = client("push_to_hub", repo=repo, seed=2)
    assert later != pushed
    assert client("from_pretrained", repo=repo, revision=first) == pushed
    names = hub.files(repo, first).keys() - {".gitattributes"}
    assert {"README.md", "config.json"} < names
    assert ("model.safetensors.index.json" in names) == bool(options)


def edit_on_hub(hub: HubDouble, repo: str, name: str, edit: Callable[[Any], None]) -> None:
    """Commit a changed JSON file, as somebody with write access could."""
    repository = hub.repositories[repo]
    files = dict(repository.commits[repository.branches["main"]])
    content = json.loads(hub.files(repo)[name])
    edit(content)
    data = json.dumps(content).encode()
    oid = hashlib.sha256(data).hexdigest()
    hub.blobs[oid] = data
    files[name] = StoredFile(oid, oid, len(data), False)
    repository.add_commit("main", files)


@pytest.mark.parametrize("target", ["/etc/weights.safetensors", "../../other.safetensors", "a.bin"])
def test_a_shard_index_on_the_hub_that_leads_elsewhere_is_refused(hub, client, target):
    repo = f"me/traversal-{len(target)}"
    client("push_to_hub", repo=repo, seed=1, max_shard_size="5KB")

    def lead_away(index: dict[str, Any]) -> None:
        index["weight_map"]["decoder.field_bias"] = target

    edit_on_hub(hub, repo, "model.safetensors.index.json", lead_away)
    status, message = client("from_pretrained", repo=repo)
    assert status == 4, message
    assert target in message


def test_strict_loading_also_checks_what_comes_from_the_hub(hub, client):
    client("push_to_hub", repo="me/strict", seed=1)
    edit_on_hub(hub, "me/strict", "config.json", lambda config: config.update(num_hidden_layers=3))
    status, message = client("from_pretrained", repo="me/strict")
    assert (status, "missing layers.2" in message) == (4, True), message
    edit_on_hub(hub, "me/strict", "config.json", lambda config: config.update(num_hiden_layers=3))
    status, message = client("from_pretrained", repo="me/strict")
    assert (status, "Did you mean 'num_hidden_layers'" in message) == (4, True), message


@pytest.mark.parametrize("outage", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_without_network_the_cache_serves_and_the_rest_is_an_environment_fault(
    client, settings, tmp_path, outage
):
    model = make_model(tmp_path / "a")
    client("publish", folder=model, repo="me/cached")
    online = client("resolve", name_or_repo="me/cached")
    with client_process(**settings | outage) as offline:
        assert offline("resolve", name_or_repo="me/cached") == online
        assert offline("resolve", name_or_repo="me/other")[0] == 5
        assert offline("publish", folder=model, repo="me/cached")[0] == 5


def test_offline_the_cache_serves_models_and_adapters_without_a_socket(client, settings):
    pushed = client("push_to_hub", repo="me/kept", seed=5)
    commit, adapter = client("adapter_round_trip", repo="me/kept-adapter", seed=6)
    assert client("from_pretrained", repo="me/kept") == pushed
    assert client("load_adapter_weights", repo=f"me/kept-adapter@{commit}") == adapter
    before = client("connections")
    assert before > 0, "online they are counted"
    client("resolve", name_or_repo=f"me/kept-adapter@{commit}")
    assert client("connections") == before, "a commit in the cache is not asked for again"
    with client_process(**settings | {"HF_HUB_OFFLINE": "1"}) as offline:
        assert offline("from_pretrained", repo="me/kept") == pushed
        assert offline("load_adapter_weights", repo=f"me/kept-adapter@{commit}") == adapter
        assert Path(offline("resolve", name_or_repo=f"me/kept-adapter@{commit}")).is_dir()
        assert offline("resolve", name_or_repo="me/never")[0] == 5
        assert offline("run_cli", arguments=["list", "--hub"])[0] == 5
        assert offline("connections") == 0


def test_a_download_that_breaks_goes_on_where_it_broke(hub, client, settings, tmp_path):
    model = make_model(tmp_path / "a")
    big = torch.arange(6_500_000, dtype=torch.float32)  # the client keeps whole 10 MB
    save_file({"weight": big}, model / "model.safetensors")
    client("publish", folder=model, repo="me/broken")
    hub.ranges.clear()
    hub.cut_after = 11_000_000
    try:
        with client_process(**settings | {"HF_HOME": str(tmp_path / "fresh")}) as fresh:
            folder = Path(fresh("resolve", name_or_repo="me/broken"))
    finally:
        hub.cut_after = None
    assert load_file(folder / "model.safetensors")["weight"].equal(big)
    assert any(int(found[6:].partition("-")[0]) > 0 for found in hub.ranges), "it began anew"


def test_a_publication_that_breaks_uploads_no_large_file_twice(hub, client, tmp_path):
    model = make_model(tmp_path / "a", value=41.5)
    hub.refused = "/api/models/me/late/commit"
    try:
        status, message = client("publish", folder=model, repo="me/late")
    finally:
        hub.refused = None
    assert (status, "cannot publish to 'me/late'" in message) == (5, True), message
    assert hub.files("me/late") == {}, "nothing half-published"
    hub.requests.clear()
    client("publish", folder=model, repo="me/late")
    assert not [path for method, path in hub.requests if path.startswith("/lfs/")]
    assert (model / "model.safetensors").read_bytes() == hub.files("me/late")["model.safetensors"]


def test_a_server_that_fails_is_an_environment_fault(hub, client, tmp_path):
    client("publish", folder=make_model(tmp_path / "a"), repo="me/down")
    hub.refused = "/api/models/me/down"
    try:
        status, message = client("resolve", name_or_repo="me/down")
    finally:
        hub.refused = None
    assert (status, "cannot reach the Hub for 'me/down'" in message) == (5, True), message


def test_a_private_model_needs_a_token(client, settings, tmp_path):
    client("publish", folder=make_model(tmp_path / "a"), repo="me/secret", private=True)
    assert Path(client("resolve", name_or_repo="me/secret")).is_dir()
    anonymous = {"HF_TOKEN": "", "HF_HOME": str(tmp_path / "other")}
    with client_process(**settings | anonymous) as other:
        status, message = other("resolve", name_or_repo="me/secret")
    assert (status, "A private repository needs a login" in message) == (4, True), message


@pytest.mark.parametrize("name", ["../escape.safetensors", "a/../../model.safetensors", "run.py"])
def test_a_hostile_file_is_not_downloaded(hub, client, tmp_path, name):
    model = make_model(tmp_path / "a")
    repo = f"me/hostile{len(name)}"
    files = {path.name: path.read_bytes() for path in model.iterdir()}
    hub.put(repo, files | {name: b"import os"})
    folder = client("resolve", name_or_repo=repo)
    found = Path(folder) if isinstance(folder, str) else None
    kept = [] if found is None else [p for p in found.rglob("*") if p.is_file()]
    assert b"import os" not in [path.read_bytes() for path in kept]
    assert not (tmp_path / "escape.safetensors").exists()
    if name == "run.py":
        assert found is not None, "a stray file does no harm"


def test_the_hub_lists_what_pdefm_published_and_keeps_private_models_out(client, tmp_path):
    client("publish", folder=make_model(tmp_path / "a"), repo="me/listed")
    client("publish", folder=make_adapter(tmp_path / "b"), repo="you/adapter")
    client("publish", folder=make_model(tmp_path / "c"), repo="me/hidden", private=True)
    status, out, _ = client("run_cli", arguments=["list", "--hub", "--json"])
    names = {each["name"] for each in json.loads(out)["models"]}
    assert status == 0
    assert {"me/listed", "you/adapter"} <= names
    assert "me/hidden" not in names
    _, out, _ = client("run_cli", arguments=["list", "--hub", "--author", "you", "--json"])
    assert {each["name"] for each in json.loads(out)["models"]} == {"you/adapter"}


def test_an_adapter_on_the_hub_goes_onto_its_base_at_a_pinned_revision(client):
    shares = [client("adapter_round_trip", repo="me/pinned", seed=seed) for seed in (1, 2)]
    first = client("load_adapter_weights", repo=f"me/pinned@{shares[0][0]}")
    second = client("load_adapter_weights", repo="me/pinned")
    assert (first, second) == (shares[0][1], shares[1][1])
    assert first != second


def test_the_verb_prints_the_revision_that_it_made(hub, client, tmp_path):
    model = str(make_model(tmp_path / "a", value=3.5))
    for words in (["--repo", "me/printed"], ["--repo", "me/printed", "--revision", "v2"]):
        status, out, _ = client("run_cli", arguments=["publish", model, *words])
        commit = hub.repositories["me/printed"].branches["v2" if "v2" in words else "main"]
        assert (status, out.rstrip().endswith(f"me/printed at revision {commit}")) == (0, True), out


def test_no_call_shows_or_keeps_the_token(hub, client, settings, tmp_path):
    recipe, run, model = tmp_path / "r.yaml", tmp_path / "run", str(make_model(tmp_path / "a"))
    recipe.write_text(yaml.safe_dump(tiny_values(write_sources(tmp_path), max_steps=2)))
    calls = [
        (["pretrain", str(recipe), "--out", str(run)], 0),
        (["publish", str(run), "--repo", "me/verb"], 0),
        (["publish", str(run), "--repo", "me/verb", "--json"], 0),
        (["publish", str(run), "--out", str(tmp_path / "out")], 0),
        (["list", "--hub"], 0),
        (["publish", model, "--repo", "no id"], 4),
        (["publish", model, "--repo", "me/late", "--debug"], 5),
        (["rollout", "--model", "me/none", "--data", "x", "--out", str(tmp_path / "r.nc")], 3),
    ]
    hub.refused = "/api/models/me/late"
    try:
        answers = [client("run_cli", arguments=arguments) for arguments, _ in calls]
    finally:
        hub.refused = None
    assert [answer[0] for answer in answers] == [status for _, status in calls], answers
    assert not any(CANARY in text for answer in answers for text in answer[1:])
    homes = [Path(settings["HF_HOME"]), Path(settings["PDEFM_HOME"]), tmp_path]
    kept = [path for home in homes for path in home.rglob("*") if path.is_file()]
    assert {"environment.json", "metrics.jsonl", "recipe.yaml", "README.md"} < {
        path.name for path in kept
    }
    assert not [path for path in kept if CANARY.encode() in path.read_bytes()]
    published = hub.files("me/verb")
    assert "training.json" in published
    assert not [oid for oid, content in hub.blobs.items() if CANARY.encode() in content]
