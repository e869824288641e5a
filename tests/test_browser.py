"""A student's first minutes: a real JupyterLab in a real browser, a notebook run, a slider moved with the keyboard."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS += " --disable-component-update --disable-sync"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None and not os.environ.get("CI"),
        reason="no Chromium on this machine; install it (Debian and Ubuntu: sudo apt install chromium) to run these",
    ),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab of its own, with a copy of a notebook up to its first panel; yields the address."""
    home = tmp_path_factory.mktemp("lab")
    book = nbformat.read(NOTEBOOKS / "01_loss_reweighting.ipynb", as_version=4)
    tagged = [i for i, cell in enumerate(book.cells) if "widget" in cell.metadata.get("tags", ())]
    book.cells = book.cells[: tagged[0] + 1]
    nbformat.write(book, home / "lesson.ipynb")
    (home / "settings").mkdir()
    news = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
    (home / "settings" / "overrides.json").write_text(json.dumps(news))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    places = {"CONFIG_DIR": "config", "DATA_DIR": "data", "RUNTIME_DIR": "runtime"}
    environment = os.environ | {f"JUPYTER_{name}": str(home / folder) for name, folder in places.items()}
    environment |= {
        "JUPYTERLAB_SETTINGS_DIR": str(home / "user-settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token="]
    command += [f"--ServerApp.root_dir={home}", f"--LabApp.app_settings_dir={home / 'settings'}"]
    command += ["--LabApp.extension_manager=readonly"]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=home)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(address + "/api/status", server, home / "log")
            yield f"{address}/lab/tree/lesson.ipynb?reset"
        finally:
            server.terminate()
            server.wait(20)


def wait_for(address, server, log, seconds=60):
    for _ in range(seconds * 5):
        if server.poll() is not None:
            pytest.fail(f"JupyterLab ended: {log.read_text()[-2000:]}")
        try:
            return urllib.request.urlopen(address, timeout=2)
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab does not answer: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def page(lab):
    """The notebook in the browser, all cells run."""
    from playwright.sync_api import sync_playwright

    assert CHROMIUM, "CI installs Chromium before the tests; it is missing"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS.split())
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.outside, page.errors = [], []
        page.on("request", lambda r: None if is_local(r.url) else page.outside.append(r.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(lab)
        page.get_by_text(re.compile(r"\(ipykernel\) \| Idle")).wait_for(timeout=90_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        page.locator(".widget-slider .noUi-handle").first.wait_for(state="attached", timeout=120_000)
        page.locator("img.widget-image").first.wait_for(state="attached", timeout=60_000)
        yield page
        browser.close()


def is_local(address):
    return address.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:"))


def row(page, name):
    return page.locator(".widget-inline-hbox", has=page.get_by_text(name, exact=True))


def press(page, name, key):
    """Press a key on a slider and wait until the picture is another one; its address."""
    picture = page.locator("img.widget-image").first
    picture.scroll_into_view_if_needed()
    row(page, name).locator(".noUi-handle").focus()
    before = picture.get_attribute("src")
    page.evaluate(
        """() => {
            const image = document.querySelector('img.widget-image')
            window.redrawn = new Promise(done => image.addEventListener('load', () => done(true), {once: true}))
        }"""
    )
    page.keyboard.press(key)
    limit = "new Promise(done => setTimeout(() => done(false), 20000))"
    redrawn = page.evaluate(f"() => Promise.race([window.redrawn, {limit}])")
    assert redrawn, f"the picture did not change after {key} on {name}"
    assert picture.get_attribute("src") != before
    return picture.get_attribute("src")


def test_moving_a_slider_with_the_keyboard_changes_the_picture(page):
    readout = row(page, "power").locator(".widget-readout")
    before = readout.inner_text()
    press(page, "power", "ArrowLeft")
    assert float(readout.inner_text()) < float(before)
    sentence = page.locator(".widget-html").filter(has_text="this setting").first.inner_text()
    assert re.search(r"this setting: group-balanced 0\.\d\d, worst group 0\.\d\d", sentence)


def test_pictures_have_alternative_texts_and_notebook_needs_no_network(page):
    picture = page.locator(".jp-OutputArea figure img").first
    picture.wait_for(state="attached")
    assert len(picture.get_attribute("alt")) > 40
    assert page.outside == [] and page.errors == []


def test_the_picture_follows_every_move_of_the_slider(page):
    assert len({press(page, "power", "ArrowRight") for _ in range(10)}) == 10


def test_the_page_looks_as_it_should(page, tmp_path):
    """Controls, picture and sentence stand side by side and inside the window."""
    picture = page.locator("img.widget-image").first
    picture.scroll_into_view_if_needed()
    if os.environ.get("DEBIAS_COURSE_SCREENSHOT"):
        page.screenshot(path=os.environ["DEBIAS_COURSE_SCREENSHOT"])
    box, slider = picture.bounding_box(), row(page, "power").locator(".widget-readout").bounding_box()
    assert box["width"] > 400 and box["x"] >= slider["x"] + slider["width"] and box["x"] + box["width"] <= 1400
