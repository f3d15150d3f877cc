"""The documentation as a site."""

import subprocess
import sys
from pathlib import Path

import pytest

from ..browser import SCHEMES, WIDTHS, check_page, open_file

pytest.importorskip("mkdocs", reason="needs the extra docs")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)
    return folder


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_home_page_begins_with_arcs_and_three_boxes(browser, site, width, scheme):
    page = open_file(browser, site / "index.html", width=width, scheme=scheme)
    arcs, boxes = page.locator(".tabcnn-arcs:visible"), page.locator(".grid.cards > ul > li")
    assert arcs.count() == 1 and boxes.count() == 3
    tops = [box.bounding_box()["y"] for box in boxes.all()]
    assert arcs.bounding_box()["y"] < tops[0]
    assert len(set(tops)) == {1280: 1, 390: 3}[width]
    check_page(page)
    page.close()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["visual", "report/report"])
def test_pages_are_accessible(browser, site, name, scheme):
    page = open_file(browser, site / name / "index.html", width=390, scheme=scheme)
    check_page(page)
    page.close()
