"""Make the pictures of the documentation: python docs/screenshots.py [MODEL] [CORPUS]

Needs the extras `app` and `dev`, Chromium, and by default the model and the corpus that `spacy project run all` makes.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import spacy
from playwright.sync_api import Page, sync_playwright

from spacy_tabcnn.visual import render

IMAGES = Path(__file__).parent / "images"
PORT = 8599
TEXT = "Soichiro Honda founded the Honda Motor Company in Hamamatsu, a city in Japan."
DESKTOP = {"width": 1000, "height": 1000}
PHONE = {"width": 390, "height": 844}
TALL_PHONE = {"width": 390, "height": 1150}
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
    IMAGES.mkdir(exist_ok=True)
    tabcnn = [sys.executable, "-m", "spacy", "tabcnn"]
    command = [*tabcnn, "serve", model, "--port", str(PORT), "--text", TEXT]
    with (
        TemporaryDirectory() as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
    ):
        errors = Path(folder) / "errors.html"
        subprocess.run([*tabcnn, "errors", model, corpus, errors], check=True)
        next(line for line in server.stdout or () if "URL:" in line)
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            page = browser.new_page(viewport=DESKTOP)
            page.set_default_timeout(120_000)
            try:
                shoot_app(page)
                shoot_pictures(page, model)
                for name, size in {"errors.png": DESKTOP, "errors-phone.png": PHONE}.items():
                    page.set_viewport_size(size)
                    page.goto(errors.as_uri())
                    page.screenshot(path=IMAGES / name)
            finally:
                browser.close()
                server.terminate()


def shoot_app(page: Page) -> None:
    for name, size in {"app-phone.png": TALL_PHONE, "app.png": DESKTOP}.items():
        page.set_viewport_size(size)
        page.goto(f"http://localhost:{PORT}")
        page.locator("svg.displacy").wait_for()
        page.screenshot(path=IMAGES / name)


def shoot_pictures(page: Page, model: str) -> None:
    nlp = spacy.load(model)
    doc = nlp(TEXT)
    page.set_viewport_size({"width": 1600, "height": 1200})
    for name, markup in {
        "arcs.png": render(doc, page=True),
        "table.png": render(doc, "table", nlp=nlp, page=True),
    }.items():
        page.set_content(markup or "")
        page.locator("svg").screenshot(path=IMAGES / name)


if __name__ == "__main__":
    main(*sys.argv[1:])
