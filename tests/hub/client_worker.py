"""A user in a process of their own: reads one call a line as JSON, writes one answer a line.

huggingface_hub reads its environment when it is imported, so each environment needs a process;
many calls share one, because importing torch takes seconds.
"""

import json
import sys
import traceback
from contextlib import redirect_stdout

from pdefm.errors import PdefmError
from pdefm.hub.listing import list_models
from pdefm.hub.publish import publish
from pdefm.hub.resolve import resolve


def push_to_hub(repo: str, seed: int, **options: object) -> str:
    """Upload a model by transformers' own method; returns the hash of its weights."""
    from pdefm.models.loading import weights_sha256
    from tests.tiny_dpot import tiny_model

    model = tiny_model(seed)
    model.push_to_hub(repo, **options)
    return weights_sha256(model)


def from_pretrained(repo: str, **options: object) -> str:
    """Load a model by transformers' own method; returns the hash of its weights."""
    from transformers import AutoModel

    from pdefm.models.loading import weights_sha256

    return weights_sha256(AutoModel.from_pretrained(repo, **options))


def adapter_round_trip(repo: str, seed: int) -> list[str]:
    """Publish an adapter of the tiny base; returns the commit and a hash of its weights."""
    from tempfile import TemporaryDirectory

    from pdefm.adapters import save_adapter
    from tests.tiny_dpot import adapted_model, make_task, task_adapter

    model = adapted_model("forecasting", "lora", seed)
    adapter, processor = task_adapter("forecasting", "lora"), make_task("forecasting").processor
    with TemporaryDirectory() as folder:
        save_adapter(folder, adapter, model, processor)
        result = publish(folder=folder, repo=repo)
    return [str(result.revision), _digest(adapter.state(model))]


def load_adapter_weights(repo: str) -> str:
    """Load an adapter from the Hub onto its base; returns a hash of its weights."""
    import pdefm
    from tests.tiny_dpot import task_names, tiny_model

    base = tiny_model(field_names=list(task_names("forecasting")))
    adapted = pdefm.load_adapter(base, repo, name="mine")
    return _digest(adapted.adapters["mine"].state(adapted.members["mine"]))


def _digest(tensors: dict) -> str:
    import hashlib

    parts = (tensors[name].detach().numpy().tobytes() for name in sorted(tensors))
    return hashlib.sha256(b"".join(parts)).hexdigest()


sockets: list[str] = []
"""Connections that this process asked for."""


def _note(event: str, arguments: tuple) -> None:
    if event in ("socket.connect", "socket.getaddrinfo"):
        sockets.append(str(arguments[1:]))


def connections() -> int:
    """How many connections this process has asked for so far."""
    return len(sockets)


def open_data(path: str, indices: list[int] | None = None, **options: object) -> dict:
    """Open trajectories and say what they are; also how many connections that took."""
    import hashlib

    from pdefm.data.open import open_trajectories

    before = len(sockets)
    found = open_trajectories(path, **options)
    wanted = range(len(found)) if indices is None else indices
    read = [found[index] for index in wanted]
    return {
        "format": found.format,
        "licence": found.licence,
        "length": len(found) if indices is None else None,
        "sha256": [hashlib.sha256(t.fields.numpy().tobytes()).hexdigest() for t in read],
        "sources": [str(t.source) for t in read],
        "names": list(read[0].names),
        "dt": read[0].dt,
        "connections": len(sockets) - before,
    }


def convert_data(path: str, out: str) -> list[str]:
    """Convert data and name the files."""
    from pdefm.data.convert import Conversion

    return sorted(Conversion(path, out).run()["files"])


def publish_data(**arguments: object) -> list:
    """Publish a folder of trajectories."""
    from pdefm.hub.publish_data import publish_data as run

    result = run(**arguments)
    return [result.url_or_path, result.revision, result.files]


def run_cli(arguments: list[str]) -> list:
    """Run the command line in this process; returns exit status, stdout and stderr."""
    import io
    from contextlib import redirect_stderr

    from pdefm.cli import main

    out, err, status = io.StringIO(), io.StringIO(), 0
    sys.argv = ["pdefm", *arguments]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        status = end.code
    return [status, out.getvalue(), err.getvalue()]


DIRECT = (
    "open_data",
    "convert_data",
    "publish_data",
    "run_cli",
    "connections",
    "adapter_round_trip",
    "load_adapter_weights",
)


def answer(call: str, arguments: dict) -> object:
    """What the call returned, or exit status and message of its error."""
    try:
        if call == "push_to_hub":
            return push_to_hub(**arguments)
        if call == "from_pretrained":
            return from_pretrained(**arguments)
        if call in DIRECT:
            return globals()[call](**arguments)
        if call == "publish":
            result = publish(**arguments)
            return [result.url_or_path, result.revision, result.files]
        if call == "resolve":
            return str(resolve(**arguments))
        return [[m.name, m.source, m.num_parameters, m.fields] for m in list_models()]
    except PdefmError as error:
        return [error.exit_status, str(error)]
    except Exception:  # a bug, which the test that asked will show
        return [1, traceback.format_exc()]


if __name__ == "__main__":
    sys.addaudithook(_note)
    for line in sys.stdin:
        with redirect_stdout(sys.stderr):  # some libraries greet there
            reply = answer(*json.loads(line))
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()
