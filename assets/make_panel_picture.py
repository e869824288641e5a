"""Make assets/panel.png, the front page's picture: the first panel of lecture 01 in JupyterLab, with a slider moved.

.venv/bin/python assets/make_panel_picture.py      (needs Chromium)
"""

import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import nbformat
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        book = nbformat.read(HERE.parent / "notebooks" / "01_loss_reweighting.ipynb", as_version=4)
        panel = next(cell for cell in book.cells if "widget" in cell.metadata.get("tags", ()))
        book.cells = [next(cell for cell in book.cells if "setup" in cell.metadata.get("tags", ())), panel]
        nbformat.write(book, Path(folder) / "panel.ipynb")
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}"]
        command += [f"--ServerApp.root_dir={folder}", "--IdentityProvider.token="]
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            photograph(f"http://127.0.0.1:{port}")
        finally:
            server.terminate()
            server.wait(20)


def photograph(address: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{address}/api/status", timeout=2)
            break
        except OSError:
            time.sleep(0.2)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1000}, device_scale_factor=1.5)
        page.goto(f"{address}/lab/tree/panel.ipynb?reset")
        page.get_by_text("| Idle").wait_for(timeout=90_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        power = page.locator(".widget-inline-hbox", has=page.get_by_text("power", exact=True))
        handle = power.locator(".noUi-handle")
        handle.wait_for(timeout=120_000)
        page.get_by_role("button", name="No", exact=True).click()  # to news
        time.sleep(3)
        for _ in range(3):
            handle.press("ArrowLeft")
        time.sleep(3)
        page.locator(".debias-panel").first.screenshot(path=str(HERE / "panel.png"))
        browser.close()


if __name__ == "__main__":
    main()
