"""The page in a real browser, and the command that serves it."""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.util import find_spec
from io import BytesIO
from urllib.request import urlopen

import pytest
from PIL import Image

from pdefm.demo.space import export_space

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_gradio = pytest.mark.skipif(find_spec("gradio") is None, reason="needs pdefm[demo]")


@contextmanager
def served(arguments, environment):
    """Address of a server that runs in a process of its own; its output comes with a failure."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    process = subprocess.Popen(
        [text.replace("PORT", str(port)) for text in arguments],
        env=environment | address,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 50
        while True:
            try:
                urlopen(url, timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        time.sleep(0.05)
        process.terminate()  # as schedulers do: once to it and once to its group
        process.communicate(timeout=20)


@pytest.fixture
def environment(tmp_path):
    (tmp_path / "tmp").mkdir()
    own = {"PDEFM_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp")}
    return dict(os.environ) | own


@pytest.mark.skipif(find_spec("gradio") is not None, reason="gradio is installed")
def test_without_gradio_one_line_says_what_to_install():
    done = subprocess.run(
        [sys.executable, "-m", "pdefm", "demo"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 5
    assert done.stderr == "pdefm: pdefm demo needs gradio. pip install 'pdefm[demo]'\n"


@needs_gradio
@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium on the path")
def test_a_real_browser_runs_a_rollout_and_survives_a_bad_file(
    model_folder, bad_file, environment, tmp_path
):
    playwright = pytest.importorskip("playwright.sync_api")
    command = [sys.executable, "-m", "pdefm", "demo", "--model", str(model_folder)]
    command += ["--port", "PORT", "--no-open"]
    with served(command, environment) as url, playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        requests = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(url)
        page.get_by_label("number input for Steps to predict").fill("3")
        page.click("#run")
        page.wait_for_selector("#fields img", timeout=40_000)
        page.wait_for_selector("#spectrum img")
        assert "Relative L2 after 3 steps: velocity x" in page.inner_text("#status")
        picture = Image.open(BytesIO(page.locator("#fields img").screenshot())).convert("RGB")
        assert len(picture.getcolors(1 << 24) or []) > 300, "pictures, not a blank page"
        with page.expect_download() as downloading:
            page.get_by_text("Rollout as .hdf5").click()
        assert downloading.value.path().read_bytes()[:4] == b"\x89HDF"

        page.get_by_label("Upload a file").check()
        page.set_input_files("input[type=file]", str(bad_file))
        page.get_by_text("notes.h5").first.wait_for()
        page.click("#run")
        page.wait_for_selector("#status .error", timeout=20_000)
        sentence = page.inner_text("#status")
        assert sentence.startswith("notes.h5: no known format recognises it: got a file starting")

        page.get_by_label("Solve an equation").check()
        page.click("#run")
        page.wait_for_selector("#status .fine", timeout=20_000)
        assert "Relative L2 after 3 steps" in page.inner_text("#status")
        elsewhere = [r for r in requests if not r.startswith((url, "data:", "blob:"))]
        browser.close()
    assert not elsewhere
    assert not list((tmp_path / "tmp").glob("pdefm-demo-*")), "uploads are gone with the server"


@needs_gradio
def test_an_exported_space_starts(model_folder, environment, tmp_path):
    out = export_space(tmp_path / "space", [str(model_folder)], [], "6.31.0")
    with served([sys.executable, str(out / "app.py")], environment) as url:
        assert b"gradio" in urlopen(url, timeout=5).read()
