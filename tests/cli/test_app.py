import subprocess
import sys

from spacy import registry

from spacy_tabcnn.cli import tabcnn_cli


def test_the_entry_point_leads_to_the_commands():
    assert registry.cli.get("tabcnn") is tabcnn_cli


def test_help_lists_the_commands(run_spacy):
    result = run_spacy("tabcnn", "--help")
    assert result.exit_code == 0
    assert "convert" in result.output and "encoder" in result.output


def test_importing_the_commands_loads_no_transformers():
    code = (
        "import sys, spacy_tabcnn.cli\n"
        "print([name for name in sys.modules if name.split('.')[0] in "
        "('transformers', 'spacy_transformers', 'sentence_transformers')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
