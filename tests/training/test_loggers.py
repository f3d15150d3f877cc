"""The loggers of experiment trackers, in the form that docs/loggers.md gives."""

import re
from pathlib import Path

import pytest
from spacy import registry
from thinc.api import Config

DOCS = Path(__file__).parents[2] / "docs" / "loggers.md"
SECTIONS = re.findall(r"```ini\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("text", SECTIONS)
def test_the_config_sections_of_the_documentation_name_loggers_that_exist(text):
    config = Config().from_str(f"[training]\n\n{text}", interpolate=False)
    # Filling checks names, arguments and their types. It calls nothing, so no tracker is needed.
    filled = registry.fill({"logger": config["training"]["logger"]}, validate=True)
    assert filled["logger"]["logger1"]["@loggers"] == "spacy.ConsoleLogger.v3"


def test_there_is_a_section_for_each_tracker():
    for name in ("spacy.WandbLogger.v5", "spacy.MLflowLogger.v2"):
        assert any(name in text for text in SECTIONS)
