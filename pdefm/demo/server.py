"""Serving the page from this machine, and only from it unless told otherwise."""

import os
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pdefm.demo.choices import find_choices
from pdefm.demo.library import gr, middleware
from pdefm.demo.local_only import LocalOnly
from pdefm.demo.page import Page
from pdefm.errors import EnvironmentFault

MAX_UPLOAD = "200mb"
CSS = """
.gradio-container {max-width: 1500px !important; padding: 8px 16px !important}
footer {display: none !important}
#title h3 {margin: 0 0 2px 0}
#status {min-height: 2.6em; font-size: 14px}
#status .error {color: #8a3b00; border-left: 4px solid #D55E00; padding-left: 8px}
#status .fine {border-left: 4px solid #0072B2; padding-left: 8px}
"""


def gradio_version() -> str:
    """The one that is installed."""
    return gr.__version__


def _check_free(host: str, port: int) -> None:
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((host, port))
        except OSError as error:
            raise EnvironmentFault(
                f"cannot listen on {host}:{port}", got=error.strerror, do="Choose another --port"
            ) from error


@contextmanager
def _temporary_uploads() -> Iterator[Path]:
    """A folder for uploads and downloads that is gone afterwards, also after SIGTERM."""

    def leave(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second one would cut the clearing up short
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    prefix = "pdefm-demo-"
    try:
        with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
            os.environ["GRADIO_TEMP_DIR"] = folder
            yield Path(folder)
    finally:
        signal.signal(signal.SIGTERM, before)


def serve(
    *,
    models: list[str],
    adapters: list[str],
    host: str = "127.0.0.1",
    port: int = 7860,
    open_browser: bool = False,
) -> None:
    """Serve the page until interrupted.

    Args:
        models: Names or folders; those of ``pdefm list`` join them.
        adapters: The same of adapters.
        host: Address to bind to.
        port: Port.
        open_browser: Open it in the user's browser.

    Raises:
        ModelError: Nothing to offer.
        EnvironmentFault: The port is taken.
    """
    choices = find_choices(models, adapters)
    _check_free(host, port)
    with _temporary_uploads() as folder:
        blocks = Page(choices, folder).blocks()
        system = ["system-ui", "Segoe UI", "sans-serif"]
        local = host in ("127.0.0.1", "localhost", "::1")
        blocks.queue().launch(
            server_name=host,
            server_port=port,
            inbrowser=open_browser,
            share=False,
            ssr_mode=False,
            max_file_size=MAX_UPLOAD,
            theme=gr.themes.Default(
                font=system, font_mono=["monospace"], spacing_size="sm", text_size="sm"
            ),
            css=CSS,
            prevent_thread_lock=True,
            app_kwargs={"middleware": [middleware.Middleware(LocalOnly)]} if local else None,
        )
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
        blocks.close(verbose=False)
