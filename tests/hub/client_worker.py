"""A user in a process of their own: reads one call a line as JSON, writes one answer a line.

huggingface_hub reads its environment when it is imported, so each environment needs a process;
many calls share one, because importing torch takes seconds.
"""

import json
import sys
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


def answer(call: str, arguments: dict) -> object:
    """What the call returned, or exit status and message of its error."""
    try:
        if call == "push_to_hub":
            return push_to_hub(**arguments)
        if call == "from_pretrained":
            return from_pretrained(**arguments)
        if call == "publish":
            result = publish(**arguments)
            return [result.url_or_path, result.revision, result.files]
        if call == "resolve":
            return str(resolve(**arguments))
        return [[m.name, m.source, m.num_parameters, m.fields] for m in list_models()]
    except PdefmError as error:
        return [error.exit_status, str(error)]


if __name__ == "__main__":
    for line in sys.stdin:
        with redirect_stdout(sys.stderr):  # some libraries greet there
            reply = answer(*json.loads(line))
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()
