"""Make the screenshots of the documentation: python docs/screenshots.py [MODEL] [CORPUS].

This needs the extras `app` and `dev`, and Chromium. The default model and corpus are those that
`spacy project run all` makes.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import spacy
from playwright.sync_api import Page, ViewportSize, sync_playwright

from spacy_tabcnn.visual import render

IMAGES = Path(__file__).parent / "images"
PORT = 8599
TEXT = "Soichiro Honda founded the Honda Motor Company in Hamamatsu, a city in Japan."
DESKTOP = ViewportSize(width=1000, height=1000)
PHONE = ViewportSize(width=390, height=844)
TALL_PHONE = ViewportSize(width=390, height=1150)
WIDE = ViewportSize(width=1280, height=1200)
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
]


def main(
    model: str = "training/sample/model-best", corpus: str = "corpus/sample/dev.spacy"
) -> None:
    """Make all screenshots.

    model (str): Name or folder of a pipeline.
    corpus (str): An annotated corpus, for the error browser.
    """
    IMAGES.mkdir(exist_ok=True)
    tabcnn = [sys.executable, "-m", "spacy", "tabcnn"]
    command = [*tabcnn, "serve", model, "--port", str(PORT), "--text", TEXT]
    with (
        TemporaryDirectory() as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
    ):
        errors = Path(folder) / "errors.html"
        subprocess.run([*tabcnn, "errors", model, corpus, errors], check=True)
        _wait_for_address(server)
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            page = browser.new_page(viewport=DESKTOP)
            page.set_default_timeout(120_000)
            try:
                shoot_app(page)
                shoot_pictures(page, model)
                shoot_errors(page, errors)
            finally:
                browser.close()
                server.terminate()


def shoot_app(page: Page) -> None:
    """Make the screenshots of the app.

    page (Page): A page of the browser.
    """
    for name, size in {"app-phone.png": TALL_PHONE, "app.png": DESKTOP}.items():
        page.set_viewport_size(size)
        page.goto(f"http://localhost:{PORT}")
        page.locator(".tabcnn-arcs:visible").wait_for()
        page.screenshot(path=IMAGES / name)


def shoot_pictures(page: Page, model: str) -> None:
    """Make the screenshots of arcs and of a label table: wide and narrow, light and dark.

    page (Page): A page of the browser.
    model (str): Name or folder of the pipeline.
    """
    nlp = spacy.load(model)
    doc = nlp(TEXT)
    pages = {
        "arcs": (render(doc, page=True, jupyter=False), "svg:visible"),
        "table": (render(doc, "table", nlp=nlp, page=True, jupyter=False), ".tabcnn-table"),
    }
    for name, (markup, selector) in pages.items():
        page.set_content(markup or "")
        for width, size in {"": WIDE, "-phone": PHONE}.items():
            page.set_viewport_size(size)
            for scheme in ("dark", "light"):
                page.emulate_media(color_scheme=scheme)
                suffix = f"{width}-{scheme}".removesuffix("-light")
                page.locator(selector).screenshot(path=IMAGES / f"{name}{suffix}.png")


def shoot_errors(page: Page, errors: Path) -> None:
    """Make the screenshots of the error browser.

    page (Page): A page of the browser.
    errors (Path): The error browser, an HTML file.
    """
    for name, size in {"errors.png": DESKTOP, "errors-phone.png": PHONE}.items():
        page.set_viewport_size(size)
        page.goto(errors.as_uri())
        page.screenshot(path=IMAGES / name)


def _wait_for_address(server: subprocess.Popen[str]) -> None:
    """Wait until the server prints its address."""
    for line in server.stdout or ():
        if "URL:" in line:
            return
    raise RuntimeError(f"the server ended with {server.wait()} before it printed its address")


if __name__ == "__main__":
    main(*sys.argv[1:])
