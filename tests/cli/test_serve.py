import sys

import pytest


def test_a_missing_model_is_a_message(run_spacy, tiny_run, tmp_path):
    pytest.importorskip(
        "streamlit", reason="the page needs streamlit: pip install spacy-tabcnn[app]"
    )
    result = run_spacy("tabcnn", "serve", tiny_run / "model-last", tmp_path / "none")
    assert result.exit_code == 1
    output = " ".join(result.output.split())
    assert "none: neither an installed pipeline nor a folder of one" in output


def test_without_streamlit_the_extra_is_named(run_spacy, tiny_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "streamlit.web.cli", None)
    result = run_spacy("tabcnn", "serve", tiny_run / "model-last")
    assert result.exit_code == 1
    assert 'pip install "spacy-tabcnn[app]"' in result.output


def test_streamlit_is_told_where_to_listen_and_to_send_nothing(run_spacy, tiny_run, monkeypatch):
    cli = pytest.importorskip(
        "streamlit.web.cli", reason="the page needs streamlit: pip install spacy-tabcnn[app]"
    )
    arguments = []
    monkeypatch.setattr(cli, "main", lambda given, **_: arguments.extend(given))
    model = tiny_run / "model-last"
    result = run_spacy("tabcnn", "serve", model, model, "--port", 8888, "--text", "Ann")
    assert result.exit_code == 0, result.output
    assert {
        "--server.address=localhost",
        "--server.port=8888",
        "--browser.gatherUsageStats=false",
    } <= set(arguments)
    assert arguments[-4:] == ["--", "--text=Ann", str(model), str(model)]
