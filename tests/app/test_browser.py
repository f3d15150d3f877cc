"""The page in a browser, as its reader uses it."""

import json
import os
import socket
import subprocess
import sys
from threading import Timer

import pytest

from ..browser import SCHEMES, TIMEOUT, check_page

pytest.importorskip("streamlit", reason="the page needs streamlit: pip install spacy-tabcnn[app]")
playwright = pytest.importorskip(
    "playwright.sync_api", reason="needs playwright: pip install spacy-tabcnn[dev]"
)

TEXT = "Ferrari won five titles in a row with Michael Schumacher at the wheel."


@pytest.fixture(scope="module")
def url(tiny_run, ruler_model):
    """The address at which the page is served, with two models."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "spacy",
        "tabcnn",
        "serve",
        tiny_run / "model-last",
        ruler_model,
        "--port",
        port,
    ]
    server = subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    timer = Timer(120, server.kill)
    timer.start()
    said = []
    # Streamlit names its address once it listens there; the output ends early if the process does.
    for line in server.stdout:
        said.append(line)
        if "URL:" in line:
            timer.cancel()
            break
    else:
        pytest.fail(f"the server ended with {server.wait()}: {''.join(said)}")
    yield f"http://localhost:{port}"
    server.terminate()
    server.communicate(timeout=30)


@pytest.fixture
def page(browser, url):
    """The page, just opened, and the hosts that it asked for anything."""
    page = browser.new_page()
    page.hosts = set()
    page.on(
        "request",
        lambda request: page.hosts.add(request.url.split("/")[2]) if "//" in request.url else None,
    )
    page.goto(url)
    yield page
    page.close()


def see(locator):
    playwright.expect(locator).to_be_visible()


def choose(page, label, name):
    """Choose an option by the keyboard. A list closes if the page scrolls or changes meanwhile."""
    option = page.get_by_role("option", name=name)
    for _ in range(5):
        page.get_by_role("combobox", name=label, exact=True).press("ArrowDown")
        try:
            option.click(timeout=TIMEOUT / 10)
        except playwright.TimeoutError:
            page.keyboard.press("Escape")
        else:
            return
    pytest.fail(f"the list {label!r} has no option {name!r}")


def test_from_a_text_to_its_annotation(page, url, ruler_model):
    see(page.get_by_text("There is no text yet."))
    page.get_by_label("Text", exact=True).fill(TEXT)
    page.get_by_role("button", name="Annotate").click()
    see(page.locator("mark", has_text="Michael Schumacher"))
    arc = page.locator(".tabcnn-arcs:visible").get_by_text("worked_for", exact=True)
    see(arc)
    see(page.get_by_role("row", name="Michael Schumacher worked_for Ferrari"))

    # The highest score there can be: the relation goes, the entities stay.
    slider = page.get_by_role("slider", name="Minimum score")
    slider.press("End")
    see(page.get_by_text("No relation reaches the minimum score"))
    playwright.expect(arc).to_have_count(0)
    see(page.locator("mark", has_text="Michael Schumacher"))
    slider.press("Home")
    see(arc)

    page.get_by_role("tab", name="Label table").click()
    see(page.locator(".tabcnn-table"))

    # What the button downloads is new once the view below it is.
    page.get_by_role("tab", name="JSON").click()
    see(page.get_by_test_id("stJson").get_by_text("worked_for"))
    with page.expect_download() as download:
        page.get_by_role("button", name="Download JSON").click()
    annotation = json.loads(download.value.path().read_text(encoding="utf-8"))
    assert download.value.suggested_filename == "annotation.jsonl"
    assert annotation["text"] == TEXT
    [relation] = annotation["relations"]
    names = [TEXT[entity["start"] : entity["end"]] for entity in annotation["entities"]]
    assert (names[relation["head"]], relation["label"], names[relation["tail"]]) == (
        "Michael Schumacher",
        "worked_for",
        "Ferrari",
    )

    choose(page, "Model", str(ruler_model))
    see(page.get_by_text("This model sets no relations"))
    see(page.locator("mark", has_text="Ferrari").get_by_text("COMPANY"))
    playwright.expect(page.locator("mark")).to_have_count(1)

    # Nothing is asked for, or sent, anywhere else.
    assert page.hosts == {url.removeprefix("http://")}


def test_on_a_phone_texts_wrap_and_tables_scroll(page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_label("Text", exact=True).fill(TEXT)
    page.get_by_role("button", name="Annotate").click()
    see(page.locator(".tabcnn-arcs:visible"))
    page.get_by_role("tab", name="Label table").click()
    table = page.locator(".tabcnn-table")
    see(table)
    width, shown = table.evaluate("node => [node.scrollWidth, node.clientWidth]")
    assert width > shown and shown <= 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", SCHEMES)
def test_two_models_side_by_side_are_accessible(page, tiny_run, ruler_model, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 1280, "height": 900})
    page.reload()
    choose(page, "Compare with", str(ruler_model))
    page.get_by_label("Text", exact=True).fill(TEXT)
    page.get_by_role("button", name="Annotate").click()
    see(page.get_by_text("This model sets no relations"))
    see(page.locator(".tabcnn-arcs:visible"))
    left, right = page.locator(".entities").all()
    assert left.bounding_box()["x"] < right.bounding_box()["x"]
    # Streamlit fades elements while it works.
    playwright.expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
    check_page(page)


def test_a_file_is_opened(page):
    page.get_by_role("button", name="Open a file").click()
    file = {"name": "a.txt", "mimeType": "text/plain", "buffer": TEXT.encode()}
    page.locator("input[type=file]").set_input_files(file)
    see(page.locator("mark", has_text="Michael Schumacher"))
