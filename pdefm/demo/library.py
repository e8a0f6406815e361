"""The one door to gradio, which is an extra: its types are unknown where it is not installed."""

import os
from importlib import import_module
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported

gr: Any = import_module("gradio")
middleware: Any = import_module("starlette.middleware")
