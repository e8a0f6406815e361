"""A user in a process of their own: reads one call a line as JSON, writes one answer a line.

huggingface_hub reads its environment when it is imported, so each environment needs a process;
many calls share one, because importing torch takes seconds.
"""

import json
import sys

from pdefm.errors import PdefmError
from pdefm.hub.listing import list_models
from pdefm.hub.publish import publish
from pdefm.hub.resolve import resolve


def answer(call: str, arguments: dict) -> object:
    """What the call returned, or exit status and message of its error."""
    try:
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
        sys.stdout.write(json.dumps(answer(*json.loads(line))) + "\n")
        sys.stdout.flush()
