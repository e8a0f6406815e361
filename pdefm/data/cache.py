"""Where generated data and downloads are kept between runs."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any


def cache_folder() -> Path:
    """``PDEFM_HOME`` if set, else ``~/.cache/pdefm``; it need not exist yet."""
    home = os.environ.get("PDEFM_HOME")
    return Path(home).expanduser() if home else Path.home() / ".cache" / "pdefm"


def content_key(content: dict[str, Any]) -> str:
    """Sixteen hexadecimal digits that change with anything in ``content``.

    Args:
        content: JSON-like; the order of its keys does not matter.
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
