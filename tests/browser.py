"""A browser for the tests of pages, and the checks that all pages pass."""

import shutil
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TIMEOUT = 90_000  # milliseconds; a busy machine may need them to load torch
WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")
SERIOUS = {"serious", "critical"}


def open_context(playwright, folder):
    """Open a browser with a profile of its own.

    playwright: The module `playwright.sync_api`.
    folder (Path): The folder of the profile.
    YIELDS: The browser's context.
    """
    playwright.expect.set_options(timeout=TIMEOUT)
    with playwright.sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            folder, executable_path=CHROMIUM, args=FLAGS
        )
        context.set_default_timeout(TIMEOUT)
        yield context
        context.close()


def open_file(context, path, *, width=1280, scheme="light"):
    """Open a file in a new tab.

    context: The browser's context.
    path (Path): The HTML file.
    width (int): Width of the window in pixels.
    scheme (str): "light" or "dark".
    RETURNS: The tab. Its list `problems` has the messages of the console, such as violations of
        the page's policy, and the requests for anything but the file.
    """
    page = context.new_page()
    page.problems = []
    page.on("console", lambda message: page.problems.append(message.text))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on(
        "request",
        lambda request: (
            page.problems.append(request.url)
            if not request.url.startswith(("file:", "blob:", "data:"))
            else None
        ),
    )
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.goto(Path(path).as_uri())
    return page


def check_page(page):
    """Check that a page fits its window, and that axe has no serious finding.

    page: The tab.
    """
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs extra dev")
    findings = []
    for violation in axe.Axe().run(page).response["violations"]:
        if violation["impact"] in SERIOUS:
            targets = [node["target"] for node in violation["nodes"]]
            findings.append((violation["id"], targets[:5]))
    assert findings == [], findings
