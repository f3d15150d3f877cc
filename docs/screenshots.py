"""Make the screenshots of the documentation: python docs/screenshots.py [MODEL] [CORPUS].

This needs the extras `app` and `dev`, and Chromium. The default model and corpus are those that
`spacy project run all` makes.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import spacy
from PIL import Image
from playwright.sync_api import Page, ViewportSize, sync_playwright

from spacy_tabcnn.visual import render
from spacy_tabcnn.visual.arcs import draw_fluid_diagram, list_labels

DOCS = Path(__file__).parent
IMAGES = DOCS / "images"
SNIPPETS = DOCS / "snippets"
PORT = 8599
TEXT = "Soichiro Honda founded the Honda Motor Company in Hamamatsu, a city in Japan."
DESKTOP = ViewportSize(width=1280, height=900)
SIZES = {"": DESKTOP, "-phone": ViewportSize(width=390, height=844)}
TALL_PHONE = ViewportSize(width=390, height=1300)
SCHEMES: tuple[Literal["dark", "light"], ...] = ("dark", "light")
COLOURS = 256  # of a picture, for a small file
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
            page = browser.new_page()
            page.set_default_timeout(120_000)
            try:
                shoot_app(page)
                shoot_pictures(page, model)
                shoot_file(page, errors, "errors", height=1500)
                shoot_file(page, DOCS / "report" / "report.html", "report", height=900)
            finally:
                browser.close()
                server.terminate()


def shoot_app(page: Page) -> None:
    """Make the screenshots of the app.

    page (Page): A page of the browser.
    """
    for suffix in choose_views(page):
        if "phone" in suffix:
            page.set_viewport_size(TALL_PHONE)
        page.goto(f"http://localhost:{PORT}")
        page.locator(".tabcnn-arcs:visible").wait_for()
        page.get_by_test_id("stStatusWidget").wait_for(state="detached")
        save(page.screenshot(), f"app{suffix}")


def shoot_pictures(page: Page, model: str) -> None:
    """Make the screenshots of arcs and of a label table, and the arcs of the home page.

    page (Page): A page of the browser.
    model (str): Name or folder of the pipeline.
    """
    nlp = spacy.load(model)
    doc = nlp(TEXT)
    # An empty line would end the HTML in Markdown.
    arcs = filter(str.strip, draw_fluid_diagram(doc[:], labels=list_labels([doc])).splitlines())
    (SNIPPETS / "arcs.html").write_text("\n".join(arcs) + "\n", encoding="utf-8")
    pages = {
        "arcs": (render(doc, page=True, jupyter=False), "svg:visible"),
        "table": (render(doc, "table", nlp=nlp, page=True, jupyter=False), ".tabcnn-table"),
    }
    for name, (markup, selector) in pages.items():
        page.set_content(markup or "")
        for suffix in choose_views(page):
            save(page.locator(selector).screenshot(), f"{name}{suffix}")


def shoot_file(page: Page, path: Path, name: str, *, height: int) -> None:
    """Make the screenshots of a page that is a file.

    page (Page): A page of the browser.
    path (Path): The HTML file.
    name (str): Beginning of the names of the pictures.
    height (int): Height of the pictures in pixels.
    """
    for suffix in choose_views(page):
        size = page.viewport_size or DESKTOP
        page.set_viewport_size({"width": size["width"], "height": height})
        page.goto(path.as_uri())
        save(page.screenshot(), f"{name}{suffix}")


def choose_views(page: Page) -> Iterator[str]:
    """Set the width and the colour scheme of a page: wide and narrow, dark and light.

    page (Page): A page of the browser.
    YIELDS (str): The end of the name of the picture.
    """
    for width, size in SIZES.items():
        for scheme in SCHEMES:
            page.set_viewport_size(size)
            page.emulate_media(color_scheme=scheme)
            yield f"{width}-{scheme}".removesuffix("-light")


def save(picture: bytes, name: str) -> None:
    """Save a picture with few colours.

    picture (bytes): A PNG picture.
    name (str): Name of the file, without its suffix.
    """
    image = (
        Image.open(BytesIO(picture))
        .convert("RGB")
        .quantize(COLOURS, kmeans=2, dither=Image.Dither.NONE)
    )
    image.save(IMAGES / f"{name}.png", optimize=True)


def _wait_for_address(server: subprocess.Popen[str]) -> None:
    """Wait until the server prints its address."""
    for line in server.stdout or ():
        if "URL:" in line:
            return
    raise RuntimeError(f"the server ended with {server.wait()} before it printed its address")


if __name__ == "__main__":
    main(*sys.argv[1:])
