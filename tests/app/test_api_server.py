"""The server of the API as a process: its answers, its end, and the Dockerfile that runs it."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from configparser import ConfigParser
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException

import pytest
from spacy.tokens import DocBin

from benchmarks.serving import (
    HOST,
    Answer,
    count_errors,
    find_port,
    make_texts,
    send_all,
    wait_until_up,
)
from spacy_tabcnn.app import api_server
from spacy_tabcnn.app.api import ApiLimits
from spacy_tabcnn.app.api_server import load_served
from spacy_tabcnn.app.guard import clean_token
from spacy_tabcnn.cli.serve import TOKEN_VARIABLE
from spacy_tabcnn.pipeline.loading import load_pipeline
from spacy_tabcnn.pipeline.relation_table import RelationTable
from spacy_tabcnn.relations import doc_to_annotation

from ..conftest import ROOT

pytest.importorskip("fastapi", reason="needs the extra api")
pytest.importorskip("uvicorn", reason="needs the extra api")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


@contextmanager
def running(*command, **variables):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def server(tiny_run):
    """A server that is shared by tests: its port."""
    port = find_port()
    command = [sys.executable, "-m", "spacy", "tabcnn", "serve", tiny_run / "model-last", "--api"]
    with running(*map(str, command), "--port", str(port), "--max-texts", "2") as process:
        wait_until_up(port, process)
        yield port


@pytest.fixture(scope="module")
def texts(tiny_corpus, tiny_run):
    """Different texts."""
    docs = DocBin().from_disk(tiny_corpus).get_docs(load_pipeline(tiny_run / "model-last").vocab)
    return make_texts([doc.text for doc in docs], 200)


@pytest.fixture(scope="module")
def expected(tiny_run, texts):
    """The annotation of the texts by the pipeline."""
    nlp = load_pipeline(tiny_run / "model-last")
    return list(map(doc_to_annotation, nlp.pipe(texts)))


def ask(port, method, path, body=None):
    connection = HTTPConnection(HOST, port, timeout=60)
    headers = {"Content-Type": "application/json"}
    connection.request(method, path, body and json.dumps(body), headers)
    response = connection.getresponse()
    content = json.loads(response.read())
    connection.close()
    return response.status, content


@pytest.mark.parametrize("n_clients", [1, 8])
def test_no_answer_is_lost_or_mixed_up(server, texts, expected, n_clients):
    assert count_errors(send_all(server, texts, n_clients), expected) == (0, 0)


def test_the_server_describes_the_pipeline(server, tiny_run):
    scheme = load_pipeline(tiny_run / "model-last").get_pipe("tabcnn").label_scheme
    status, labels = ask(server, "GET", "/labels")
    assert status == 200
    assert labels == {"entities": scheme.entities, "relations": list(scheme.relations)}
    status, health = ask(server, "GET", "/health")
    assert status == 200 and health["model"] == "en_pipeline-0.0.0"


def test_options_limit_requests(server):
    status, content = ask(server, "POST", "/annotate", {"texts": ["a"] * 3})
    assert status == 413 and "at most 2" in content["error"]["message"]


def test_a_pipeline_without_sentence_boundaries_is_a_warning(tiny_run, tmp_path, recwarn):
    nlp = load_pipeline(tiny_run / "model-last")
    text = "Ann lives in Rome. Bob lives in Bonn."
    with pytest.warns(
        UserWarning, match=r"model-last: .* nlp.add_pipe\('sentencizer', first=True\)"
    ):
        served = load_served(str(tiny_run / "model-last"))
    assert served.annotate([text]) == [doc_to_annotation(nlp(text))]
    nlp.add_pipe("sentencizer", first=True)
    nlp.to_disk(tmp_path / "sentences")
    recwarn.clear()
    load_served(str(tmp_path / "sentences"))
    assert not recwarn


@pytest.mark.filterwarnings("ignore:.*no component sets sentence boundaries")
def test_a_limited_number_of_texts_is_annotated_at_once(tiny_run, monkeypatch):
    sizes = []
    predict = RelationTable.predict
    monkeypatch.setattr(
        RelationTable, "predict", lambda pipe, docs: sizes.append(len(docs)) or predict(pipe, docs)
    )
    served = load_served(str(tiny_run / "model-last"), batch_size=2)
    sizes.clear()  # of the check at loading
    assert len(served.annotate(["Ann lives in Rome."] * 5)) == 5
    assert sizes == [2, 2, 1]


def send_until_all_came(pool, port, texts):
    """Send each text to a server that annotates one at a time, until it has received all of them.

    If it was too fast for that, they are sent again.
    """
    for _ in range(20):
        futures = [pool.submit(send_all, port, [text], 1) for text in texts]
        while not any(future.done() for future in futures):
            if ask(port, "GET", "/health")[1]["waiting"] == len(texts) - 1:
                return futures
    raise AssertionError("too fast to be stopped")


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_in_flight_are_answered_before_the_end(tiny_run, texts, expected, number):
    port = find_port()
    command = [sys.executable, "-m", "spacy", "tabcnn", "serve", str(tiny_run / "model-last")]
    long_texts = [" ".join(texts[:100])] * 8
    command += ["--api", "--port", str(port), "--batch-size", "1"]
    with running(*command) as process:
        wait_until_up(port, process)
        with ThreadPoolExecutor(8) as pool:
            futures = send_until_all_came(pool, port, long_texts)
            process.send_signal(number)
            answers = [answer for future in futures for answer in future.result()]
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    assert all(answer.annotation is not None for answer in answers)
    assert len({len(answer.annotation["entities"]) for answer in answers}) == 1
    with pytest.raises((OSError, HTTPException)):
        ask(port, "GET", "/health")


ENDLESS = """
import time
from spacy_tabcnn.app import api_server
from spacy_tabcnn.app.api import ServedPipeline

def annotate(texts):
    while True:
        time.sleep(1)

api_server.SHUTDOWN_SECONDS = 1
api_server.load_served = lambda *_: ServedPipeline("endless", [], [], annotate)
api_server.serve_api("endless", port=int("PORT"))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
def test_a_batch_without_an_end_does_not_keep_the_server():
    port = find_port()
    with running(sys.executable, "-c", ENDLESS.replace("PORT", str(port))) as process:
        wait_until_up(port, process)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(send_all, port, ["a"], 1)
            time.sleep(1)
            process.terminate()
            output, _ = process.communicate(timeout=30)
            assert answer.result()[0].annotation is None
    assert process.returncode == 1
    assert "the server ends without it" in output


def test_marks_that_take_the_tokenizer_too_long_are_refused(server):
    status, content = ask(server, "POST", "/annotate", {"texts": ["a", "(:" * 10_000]})
    assert status == 413
    assert content["error"]["message"] == (
        "text 1 has 20,000 punctuation marks or symbols without white space between them; at most "
        "500 are allowed"
    )
    assert ask(server, "POST", "/annotate", {"text": "x" * 15_000 + " (:" * 1000})[0] == 200


def test_a_port_in_use_is_a_message(server, tiny_run):
    command = [sys.executable, "-m", "spacy", "tabcnn", "serve", str(tiny_run / "model-last")]
    with running(*command, "--api", "--port", str(server)) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 1 and "Traceback" not in output
    assert f"cannot listen at 127.0.0.1, port {server}" in " ".join(output.split())


def test_one_model_is_served(run_spacy, tiny_run):
    model = tiny_run / "model-last"
    result = run_spacy("tabcnn", "serve", model, model, "--api")
    assert result.exit_code == 1 and "--api serves one model; 2 are given" in result.output


@pytest.fixture
def serve(run_spacy, tiny_run, monkeypatch):
    """Run the command without servers. It returns the result, and the arguments of the server."""
    called = {}
    for name in ("api_server.serve_api", "server.serve"):
        monkeypatch.setattr(
            f"spacy_tabcnn.app.{name}", lambda model, **options: called.update(options)
        )

    def run(*arguments, token=None):
        called.clear()
        monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
        if token is not None:
            monkeypatch.setenv(TOKEN_VARIABLE, token)
        return run_spacy("tabcnn", "serve", tiny_run / "model-last", *arguments), dict(called)

    return run


@pytest.mark.parametrize(
    "arguments,is_warned",
    [((), False), (("--host", "::1"), False), (("--host", "0.0.0.0"), True)],
)
def test_an_open_address_without_a_token_is_a_warning(serve, arguments, is_warned):
    result, called = serve("--api", *arguments)
    assert result.exit_code == 0, result.output
    assert (TOKEN_VARIABLE in result.output) == is_warned
    assert called["host"] == (arguments[1] if arguments else "127.0.0.1")
    result, called = serve("--api", *arguments, token="s3cret")
    assert called["token"] == "s3cret" and "s3cret" not in result.output


def test_an_open_address_of_the_page_is_a_warning(serve):
    assert "Everyone" not in serve()[0].output
    output = " ".join(serve("--host", "0.0.0.0")[0].output.split())
    assert "Everyone who reaches 0.0.0.0, port 8501, can use the page" in output


def test_the_token_of_the_option_comes_before_the_token_of_the_variable(serve):
    assert serve("--api", "--token", "a", token="b")[1]["token"] == "a"


def test_an_empty_token_is_refused(run_spacy, tiny_run, monkeypatch):
    arguments = ("tabcnn", "serve", tiny_run / "model-last", "--api")
    result = run_spacy(*arguments, "--token", " ")
    assert result.exit_code == 1 and "the token is empty" in result.output
    monkeypatch.setenv(TOKEN_VARIABLE, "")
    result = run_spacy(*arguments)
    assert result.exit_code == 1 and "the token is empty" in result.output


def test_a_token_has_no_white_space_around_it():
    assert clean_token("abc\n") == "abc"
    assert clean_token(None) is None


def test_the_server_asks_for_the_token_without_the_white_space(monkeypatch):
    def make_api(*_, token, **options):
        raise ValueError(f"token {token!r}")

    monkeypatch.setattr(api_server, "load_served", lambda *_: None)
    monkeypatch.setattr(api_server, "make_api", make_api)
    with pytest.raises(ValueError, match="token 'abc'"):
        api_server.serve_api("model", token=" abc\n")


@pytest.mark.parametrize(
    "arguments,message",
    [
        (("--token", "a"), "--token is an option of --api"),
        (("--max-texts", "64"), "--max-texts is an option of --api"),
        (("-b", "8"), "--batch-size is an option of --api"),
        (("--api", "--text", "a"), "--text is an option of the page, and --api serves none"),
        (("--api", "--examples", "a"), "--examples is an option of the page"),
    ],
)
def test_options_without_effect_are_refused(serve, arguments, message):
    result, called = serve(*arguments)
    assert result.exit_code == 1 and not called
    assert message in " ".join(result.output.split())


def test_a_token_of_the_variable_does_not_protect_the_page(serve):
    result, called = serve(token="s3cret")
    assert called and f"The page does not ask for the token of {TOKEN_VARIABLE}" in result.output


def test_the_address_of_the_description_can_be_opened(serve):
    assert "http://[::1]:8501/docs" in serve("--api", "--host", "::1")[0].output
    assert "http://127.0.0.1:8501/docs" in serve("--api")[0].output


def test_the_options_are_the_limits(serve):
    options = ("--max-characters=1", "--max-texts=2", "--max-tasks=3", "--max-bytes=4", "-b", 5)
    limits = serve("--api", *options)[1]["limits"]
    assert limits == ApiLimits(1, 2, 3, 4, batch_size=5)
    assert serve("--api")[1]["limits"] == ApiLimits()


def test_the_comparison_of_answers_finds_errors(expected):
    answers = [Answer(number, 0.1, annotation) for number, annotation in enumerate(expected)]
    assert count_errors(answers, expected) == (0, 0)
    swapped = [Answer(0, 0.1, expected[1]), Answer(1, 0.1, expected[0]), *answers[2:]]
    assert count_errors(swapped, expected) == (0, 2)
    lost = [answers[0]._replace(annotation=None), *answers[2:]]
    assert count_errors(lost, expected) == (2, 0)


def read_instructions():
    """Return the instructions of the Dockerfile and their arguments, each on one line."""
    lines = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", DOCKERFILE)).splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


INSTRUCTIONS = read_instructions()


def get_arguments(name):
    return [arguments for instruction, arguments in INSTRUCTIONS if instruction == name]


def test_the_dockerfile_has_known_instructions():
    known = {"FROM", "ARG", "WORKDIR", "COPY", "RUN", "USER", "ENV", "EXPOSE", "HEALTHCHECK"}
    assert {name for name, _ in INSTRUCTIONS} == known | {"ENTRYPOINT", "CMD"}
    assert INSTRUCTIONS[0][0] == "FROM" and ":" in INSTRUCTIONS[0][1]
    names = [name for name, _ in INSTRUCTIONS]
    assert names.index("RUN") < names.index("USER") < names.index("ENTRYPOINT")


def test_the_image_has_all_files_of_the_package():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = set()
    for arguments in get_arguments("COPY"):
        *sources, _ = arguments.split()
        copied.update(sources)
    assert all((ROOT / name).exists() and f"!{name}" in ignored for name in copied)
    for path in re.findall(r"file: (\S+)", (ROOT / "setup.cfg").read_text(encoding="utf-8")):
        assert path in copied
    assert {"setup.py", "setup.cfg", "pyproject.toml", "spacy_tabcnn", "configs"} <= copied


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
@pytest.mark.parametrize("device,extras", [("cpu", {"api"}), ("gpu", {"api", "gpu-cuda13"})])
def test_the_image_installs_extras_that_exist(device, extras):
    install, user = get_arguments("RUN")
    script = f'pip() {{ echo "$@"; }}; {install}'
    result = subprocess.run(
        ["sh", "-euc", script],
        env={**os.environ, "DEVICE": device},
        check=True,
        capture_output=True,
        text=True,
    )
    [installed] = re.findall(r"\.\[(.+)\]", result.stdout)
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    assert set(installed.split(",")) == extras <= set(config["options.extras_require"])
    assert shlex.split(user)[0] == "useradd" and get_arguments("USER") == [shlex.split(user)[-1]]


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
def test_the_container_serves_is_healthy_and_stops(tiny_run):
    [entry], [options], [health] = map(get_arguments, ("ENTRYPOINT", "CMD", "HEALTHCHECK"))
    port = find_port()
    command = [*json.loads(entry), *json.loads(options)]
    assert command[command.index("--host") + 1] == "0.0.0.0"
    changes = {"python": sys.executable, "/model": str(tiny_run / "model-last")}
    changes.update({"0.0.0.0": HOST, "8501": str(port)})
    assert get_arguments("EXPOSE") == ["8501"] and command[-1] == "8501"
    with running(*(changes.get(part, part) for part in command)) as process:
        wait_until_up(port, process)
        check = json.loads(health.partition("CMD")[2])
        check = [part.replace("8501", str(port)) for part in check]
        assert subprocess.run([sys.executable, *check[1:]]).returncode == 0
        process.terminate()
        assert process.wait(60) == 0
    assert subprocess.run([sys.executable, *check[1:]], stderr=subprocess.DEVNULL).returncode
