"""The page in a browser, as its reader uses it."""

import json
import os
import socket
import subprocess
import sys
from threading import Timer

import pytest

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


def test_from_a_text_to_its_annotation(page, url, ruler_model):
    see(page.get_by_text("There is no text yet."))
    page.get_by_label("Text").fill(TEXT)
    page.get_by_role("button", name="Annotate").click()
    see(page.locator("mark", has_text="Michael Schumacher"))
    arc = page.locator("svg.displacy").get_by_text("worked_for")
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
    see(page.locator("svg.label-table"))

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

    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name=str(ruler_model)).click()
    see(page.get_by_text("This model sets no relations"))
    see(page.locator("mark", has_text="Ferrari").get_by_text("COMPANY"))
    playwright.expect(page.locator("mark")).to_have_count(1)

    # Nothing is asked for, or sent, anywhere else.
    assert page.hosts == {url.removeprefix("http://")}


def test_on_a_phone_pictures_scroll_and_the_page_does_not(page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_label("Text").fill(TEXT)
    page.get_by_role("button", name="Annotate").click()
    picture = page.locator("figure", has=page.locator("svg.displacy"))
    see(picture)
    width, shown = picture.evaluate("node => [node.scrollWidth, node.clientWidth]")
    assert width > shown
    assert shown <= 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
