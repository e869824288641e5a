"""A student's first minutes: a real JupyterLab in a real browser, a notebook run, a slider moved with the keyboard."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from chromium import CHROMIUM, FLAGS, NEEDED

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
PICTURE = ".debias-panel-shown img"

pytestmark = NEEDED


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
        changed(page, before=None)
        page.get_by_text(re.compile(r"\(ipykernel\) \| Idle")).wait_for(timeout=60_000)  # the panel is shown once more
        yield page
        browser.close()


def is_local(address):
    return address.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:"))


def row(page, name):
    return page.locator(".widget-inline-hbox", has=page.get_by_text(name, exact=True))


def changed(page, before):
    """Wait until the picture is another one, and no longer dim or one of half the work; its address."""
    page.wait_for_function(
        """before => {
            const shown = document.querySelector('.debias-panel-shown'), image = shown?.querySelector('img')
            const done = !shown?.matches('.debias-panel-old') && !shown?.textContent.includes('still training')
            return image && image.src !== before && done
        }""",
        arg=before,
        timeout=60_000,
    )
    return page.locator(PICTURE).first.get_attribute("src")


def press(page, name, key):
    """Press a key on a slider and wait until the picture is another one; its address."""
    row(page, name).locator(".noUi-handle").focus()
    before = page.locator(PICTURE).first.get_attribute("src")
    page.keyboard.press(key)
    return changed(page, before)


def test_moving_a_slider_with_the_keyboard_changes_the_picture(page):
    readout = row(page, "power").locator(".widget-readout")
    before = readout.inner_text()
    press(page, "power", "ArrowLeft")
    assert float(readout.inner_text()) < float(before)
    sentence = page.locator(".widget-html").filter(has_text="this setting").first.inner_text()
    assert re.search(r"this setting: group-balanced 0\.\d\d, worst group 0\.\d\d", sentence)


def test_the_picture_names_its_setting_which_is_the_controls(page):
    press(page, "aligned share", "ArrowLeft")
    value = float(row(page, "aligned share").locator(".widget-readout").inner_text())
    setting = page.locator(".debias-panel-shown figcaption").first.inner_text()
    assert f"aligned share {value:.3g} ·" in setting
    alt = page.locator(PICTURE).first.get_attribute("alt")
    assert setting.removeprefix("Setting: ") in alt and len(alt) > len(setting) + 40
    press(page, "aligned share", "ArrowRight")


def test_while_a_setting_is_drawn_the_old_picture_is_dim(page):
    """Picture, setting and sentence never come from two settings: of all states that the page goes through, each is dim
    or shows what the slider says."""
    page.evaluate(
        """() => {
            window.states = []
            const panel = document.querySelector('.debias-panel')
            const shown = panel.querySelector('.debias-panel-shown')
            const look = () => states.push([shown.classList.contains('debias-panel-old'), shown.textContent])
            new MutationObserver(look).observe(shown, {attributes: true, childList: true, subtree: true})
        }"""
    )
    before = page.locator(".debias-panel-shown").first.text_content()
    press(page, "power", "ArrowLeft")
    after = page.locator(".debias-panel-shown").first.text_content()
    states = page.evaluate("states")
    assert [True, before] in states and states[-1] == [False, after] and before != after
    assert all(text in (before, after) for _, text in states)


def test_a_knob_that_does_nothing_is_grey_and_says_why(page):
    before = page.locator(PICTURE).first.get_attribute("src")
    choice = row(page, "evened out by").locator("select").first
    choice.select_option("label")
    changed(page, before)
    power = row(page, "power").first
    assert (
        "every label has the same number of samples" in power.inner_text() and power.locator("[disabled]").count() > 0
    )
    assert "power" not in page.locator(".debias-panel-shown figcaption").first.inner_text()
    before = page.locator(PICTURE).first.get_attribute("src")
    choice.select_option("group")
    changed(page, before)
    assert "of the inverse frequency" in power.inner_text() and power.locator("[disabled]").count() == 0


def test_handles_have_names(page):
    named = page.locator(".debias-panel").first.locator(".noUi-handle")
    page.wait_for_function("[...document.querySelectorAll('.debias-panel .noUi-handle')].every(e => e.ariaLabel)")
    assert {"power", "aligned share"} <= {each.get_attribute("aria-label") for each in named.all()}


@pytest.mark.parametrize("width", [1280, 1024])
def test_nothing_is_clipped_or_too_small_to_read(page, width):
    """Texts have 12 pixels and their place, and the picture is shown in the size that it was drawn for."""
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(1000)
    found = page.locator(".debias-panel").first.evaluate(
        """panel => {
            const all = [...panel.querySelectorAll('*')].filter(e => e.getClientRects().length)
            const css = e => getComputedStyle(e), image = panel.querySelector('.debias-panel-shown img')
            const texts = all.filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
            const right = document.querySelector('.jp-Notebook').getBoundingClientRect().right
            return {
                small: texts.filter(e => parseFloat(css(e).fontSize) < 12).map(e => e.textContent),
                clipped: texts.filter(e => e.scrollWidth > e.clientWidth + 1 && css(e).overflowX !== 'visible'
                    && css(e).display !== 'inline').map(e => e.textContent),
                outside: all.filter(e => e.getBoundingClientRect().right > right).map(e => e.className),
                scale: image.getBoundingClientRect().width / image.naturalWidth,
            }
        }"""
    )
    page.set_viewport_size({"width": 1400, "height": 1000})
    assert found.pop("scale") == pytest.approx(0.5, abs=0.005) and found == dict(small=[], clipped=[], outside=[])


def test_pictures_have_alternative_texts_and_notebook_needs_no_network(page):
    picture = page.locator(".jp-OutputArea figure img").first
    picture.wait_for(state="attached")
    assert len(picture.get_attribute("alt")) > 40
    assert page.outside == [] and page.errors == []


def test_the_picture_follows_every_move_of_the_slider(page):
    assert len({press(page, "power", "ArrowRight") for _ in range(10)}) == 10


def test_the_page_looks_as_it_should(page, tmp_path):
    """Controls, picture and sentence stand side by side and inside the window."""
    picture = page.locator(PICTURE).first
    picture.scroll_into_view_if_needed()
    if os.environ.get("DEBIAS_COURSE_SCREENSHOT"):
        page.screenshot(path=os.environ["DEBIAS_COURSE_SCREENSHOT"])
    box, slider = picture.bounding_box(), row(page, "power").locator(".widget-readout").bounding_box()
    assert box["width"] > 400 and box["x"] >= slider["x"] + slider["width"] and box["x"] + box["width"] <= 1400
