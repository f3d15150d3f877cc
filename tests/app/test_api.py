"""The API: answers, limits, the token, and errors in one form."""

import json
import logging
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest

from spacy_tabcnn.app.api import ApiLimits, ServedPipeline, make_api
from spacy_tabcnn.app.batcher import Batcher

pytest.importorskip("fastapi", reason="needs the extra api")
uvicorn = pytest.importorskip("uvicorn", reason="needs the extra api")
httpx = pytest.importorskip("httpx")

JSON = "application/json"
LIMITS = ApiLimits(max_characters=20, max_texts=3, max_bytes=400)


def annotate(texts):
    """Annotate each text as one entity, and fail for some."""
    results = []
    for text in texts:
        if text == "reject":
            results.append({"reason": "ValueError: no"})
        elif text == "break":
            raise RuntimeError("secret")
        else:
            entity = {"start": 0, "end": len(text), "label": "A", "score": 0.5}
            relation = {"head": 0, "tail": 0, "label": "R", "score": 1.0}
            results.append({"entities": [entity], "relations": [relation]})
    return results


PIPELINE = ServedPipeline("en_test-1.0", ["A"], ["R"], annotate)


@pytest.fixture(scope="module")
def open_client():
    """Serve the API at a free port of this computer, and open a client of it."""

    @contextmanager
    def open_(pipeline=PIPELINE, limits=LIMITS, token=None):
        with ThreadPoolExecutor(1) as executor:
            app = make_api(pipeline, executor, limits=limits, token=token)
            server = uvicorn.Server(
                uvicorn.Config(
                    app, host="127.0.0.1", port=0, log_level="critical", lifespan="on", ws="none"
                )
            )
            thread = threading.Thread(target=server.run)
            thread.start()
            while not server.started:
                time.sleep(0.01)
            host, port = server.servers[0].sockets[0].getsockname()
            with httpx.Client(base_url=f"http://{host}:{port}", trust_env=False) as client:
                yield client
            server.should_exit = True
            thread.join(20)

    return open_


@pytest.fixture(scope="module")
def client(open_client):
    with open_client() as client:
        yield client


def get_error(response, status):
    """Return the message of an error, which has the form of all errors."""
    assert response.status_code == status, response.text
    [error] = response.json().values()
    assert error["status"] == status
    return error["message"]


def test_one_text_is_annotated(client):
    response = client.post("/annotate", json={"text": "😀 Ann"})
    assert response.status_code == 200
    [annotation] = response.json()["annotations"]
    assert annotation == {
        "entities": [{"start": 0, "end": 5, "label": "A", "score": 0.5}],
        "relations": [{"head": 0, "tail": 0, "label": "R", "score": 1.0}],
    }


def test_many_texts_are_annotated_in_order(client):
    response = client.post("/annotate", json={"texts": ["a", "reject", ""]})
    first, second, third = response.json()["annotations"]
    assert first["entities"][0]["end"] == 1 and third["entities"][0]["end"] == 0
    assert second == {"entities": [], "relations": [], "error": "ValueError: no"}


INTERFACE = """
<View>
  <Labels name="types" toName="passage"><Label value="A"/></Labels>
  <Text name="passage" value="$body"/>
</View>
"""


def predict(client, *texts, **fields):
    tasks = [{"id": number, "data": {"body": text}} for number, text in enumerate(texts)]
    return client.post("/predict", json={"tasks": tasks, "label_config": INTERFACE, **fields})


def test_label_studio_sets_up_a_project_and_gets_predictions(client):
    response = client.post("/setup", json={"project": "1.17", "schema": INTERFACE, "hostname": "h"})
    assert response.json() == {"model_version": "en_test-1.0"}
    response = predict(client, "😀 Ann", project="1.17", params={"context": None})
    assert response.status_code == 200, response.text
    region = {
        "id": "T0",
        "from_name": "types",
        "to_name": "passage",
        "type": "labels",
        "value": {"start": 0, "end": 5, "text": "😀 Ann", "labels": ["A"]},
        "score": 0.5,
    }
    relation = {"type": "relation", "from_id": "T0", "to_id": "T0", "direction": "right"}
    results = [region, {**relation, "labels": ["R"], "score": 1.0}]
    prediction = {"model_version": "en_test-1.0", "score": 0.75, "result": results}
    assert response.json() == {"results": [prediction]}


def test_tasks_of_label_studio_may_be_more_than_the_texts_of_a_request(client):
    results = predict(client, *"abcdefgh").json()["results"]
    assert [item["result"][0]["value"]["text"] for item in results] == [*"abcdefgh"]


@pytest.mark.parametrize("text", ["reject", "x" * 21, 1, None])
def test_a_task_of_label_studio_that_cannot_be_annotated_has_no_results(client, text):
    first, failed, last = predict(client, "a", text, "b").json()["results"]
    assert failed == {"model_version": "en_test-1.0", "result": []}
    assert first["result"] and last["result"]


def test_the_tasks_of_label_studio_are_limited(open_client):
    with open_client(limits=LIMITS._replace(max_tasks=2)) as client:
        assert predict(client, "a", "b").status_code == 200
        message = get_error(predict(client, "a", "b", "c"), 413)
    assert message == "the request has 3 tasks; at most 2 are allowed"


def test_tasks_that_cannot_be_annotated_are_one_line_of_the_log(open_client, monkeypatch):
    lines = []
    monkeypatch.setattr(
        logging.getLogger("uvicorn.error"), "warning", lambda text, *args: lines.append(text % args)
    )
    with open_client(limits=LIMITS._replace(max_bytes=1000)) as client:
        predict(client, "x" * 21, "a", *["x" * 21] * 3)
    assert lines == ["tasks whose text is too long, or no Unicode: 4 (0, 2, 3, ...)"]


@pytest.mark.parametrize("path", ["/setup", "/predict"])
def test_an_interface_without_texts_is_refused(client, path):
    body = {"tasks": [], "label_config": "<View/>", "schema": "<View/>"}
    assert "has no tag Labels" in get_error(client.post(path, json=body), 422)


@pytest.mark.parametrize("body", [{}, {"tasks": 1}, {"tasks": ["a"]}, [], "a"])
def test_malformed_requests_of_label_studio_are_refused(client, body):
    get_error(client.post("/predict", json=body), 422)


def test_a_pipeline_that_fails_is_an_error_for_label_studio(client):
    assert "the pipeline failed" in get_error(predict(client, "break"), 500)


def test_label_studio_sends_the_token_as_a_password(open_client):
    with open_client(token="a:b") as client:
        assert client.get("/labels", auth=("label-studio", "a:b")).status_code == 200
        assert client.get("/labels", auth=("a:b", "")).status_code == 401
        for header in ("Basic", "Basic ???", "Digest a:b", "a:b"):
            get_error(client.get("/labels", headers={"Authorization": header}), 401)


def test_labels_and_health(client):
    assert client.get("/labels").json() == {"entities": ["A"], "relations": ["R"]}
    health = client.get("/health").json()
    assert (health["status"], health["model"], health["waiting"]) == ("ok", "en_test-1.0", 0)


def test_a_server_that_answers_no_request_is_not_healthy(client, monkeypatch):
    monkeypatch.setattr(Batcher, "is_running", False)
    assert "Start the server again" in get_error(client.get("/health"), 503)
    assert "try again" in get_error(client.post("/annotate", json={"text": "a"}), 503)


def test_after_a_panic_the_server_goes_on(open_client):
    class Panic(BaseException):
        """A stand-in for a panic of Rust, which is no Exception."""

    def annotate_or_panic(texts):
        if "boom" in texts:
            raise Panic("secret")
        return annotate(texts)

    with open_client(pipeline=PIPELINE._replace(annotate=annotate_or_panic)) as client:
        message = get_error(client.post("/annotate", json={"text": "boom"}), 500)
        assert "PanicError" in message and "secret" not in message
        assert client.post("/annotate", json={"text": "a"}).status_code == 200
        assert client.get("/health").json()["status"] == "ok"


def test_the_answers_fit_their_description(client):
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert {"Texts", "Annotations", "Annotation", "Entity", "Relation", "Error"} <= set(schemas)
    from spacy_tabcnn.app.api import Annotations, Error

    for body in ({"text": "a"}, {"texts": ["a", "reject"]}):
        Annotations.model_validate(client.post("/annotate", json=body).json(), strict=True)
    Error.model_validate(client.post("/annotate", json={}).json(), strict=True)


def test_the_page_needs_no_network(client):
    response = client.get("/docs")
    assert "POST /annotate" in response.text and "GET /health" in response.text
    for reference in ("http://", "https://", "src=", "<script", "@import", "url("):
        text = response.text.replace("http://127.0.0.1:8501/annotate", "")
        assert reference not in text
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    "body,message",
    [
        ({}, "give either 'text', a string, or 'texts', a list of strings"),
        ({"text": "a", "texts": ["a"]}, "give either"),
        ({"text": None}, "give either"),
        ({"text": 5}, "text: Input should be a valid string"),
        ({"texts": "abc"}, "texts: Input should be a valid list"),
        ({"texts": []}, "texts: List should have at least 1 item"),
        ({"texts": ["a", None]}, "texts.1: Input should be a valid string"),
        ({"text": "a", "model": "x"}, "a field is unknown; expected 'text' or 'texts'"),
        ([], "Input should be"),
        ("a", "Input should be"),
    ],
)
def test_a_body_that_does_not_fit_is_refused(client, body, message):
    assert message in get_error(client.post("/annotate", json=body), 422)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"text": "\\ud800"}',
        b'{"text": NaN}',
        b"[" * 399,
        b'{"text": ' + b"9" * 300 + b"}",
    ],
)
def test_a_body_that_is_no_text_is_refused(client, content):
    headers = {"Content-Type": JSON}
    assert get_error(client.post("/annotate", content=content, headers=headers), 422)


def test_no_value_of_a_request_is_in_an_error(client):
    body = json.dumps({"text": ["secret"], "secret \ud800": 1})
    headers = {"Content-Type": JSON}
    response = client.post("/annotate", content=body, headers=headers)
    assert get_error(response, 422) and "secret" not in response.text


def test_no_name_of_the_fields_of_a_task_is_in_an_error(open_client):
    nested = "[" * 300 + "]" * 300
    body = f'{{"tasks": [{{}}, {{"secret": {nested}}}]}}'
    with open_client(limits=LIMITS._replace(max_bytes=1000)) as client:
        response = client.post("/predict", content=body, headers={"Content-Type": JSON})
    message = get_error(response, 422)
    assert message.startswith("tasks.1: ") and "secret" not in message


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
@pytest.mark.parametrize("path,body", [("/annotate", b'{"text": "a"}'), ("/setup", b"{}")])
def test_other_content_types_are_refused(client, path, body, content_type):
    headers = {} if content_type is None else {"Content-Type": content_type}
    message = get_error(client.post(path, content=body, headers=headers), 422)
    assert message == f"the body is not read as JSON: send the header 'Content-Type: {JSON}'"


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/a+json"])
def test_content_types_of_json(client, content_type):
    headers = {"Content-Type": content_type}
    assert client.post("/annotate", content=b'{"text": "a"}', headers=headers).status_code == 200


@pytest.mark.parametrize(
    "body,message",
    [
        ({"text": "a" * 21}, "text 0 has 21 characters; at most 20"),
        ({"texts": ["a", "a" * 21]}, "text 1 has 21 characters"),
        ({"texts": ["a"] * 4}, "the request has 4 texts; at most 3"),
        ({"texts": ["a" * 200] * 3}, "the body has more than 400 bytes"),
    ],
)
def test_limits(client, body, message):
    assert message in get_error(client.post("/annotate", json=body), 413)


def test_text_at_the_limit_is_annotated(client):
    assert client.post("/annotate", json={"texts": ["😀" * 20] * 3}).status_code == 200


def test_a_body_without_a_length_is_limited(client):
    parts = iter([b'{"text": "'] + [b" " * 100] * 5)
    response = client.post("/annotate", content=parts)
    assert "the body has more than 400 bytes" in get_error(response, 413)


def test_unknown_paths_and_methods(client):
    assert get_error(client.get("/"), 404)
    assert get_error(client.get("/annotate"), 405)


def test_a_failure_names_no_details(client):
    message = get_error(client.post("/annotate", json={"text": "break"}), 500)
    assert "RuntimeError" in message and "secret" not in message


def test_a_failure_keeps_the_connection(client):
    for _ in range(20):
        assert client.post("/annotate", json={"text": "break"}).status_code == 500
        assert client.post("/annotate", json={"text": "a"}).status_code == 200


@pytest.fixture(scope="module")
def guarded(open_client):
    with open_client(token="s3cret-ü") as client:
        yield client


@pytest.mark.parametrize("path", ["/annotate", "/labels", "/docs", "/openapi.json", "/none"])
@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", "Basic s3cret-ü", "s3cret-ü"]
)
def test_without_the_token_nothing_is_answered(guarded, path, header):
    headers = {} if header is None else {"Authorization": header.encode()}
    response = guarded.get(path, headers=headers)
    assert "token" in get_error(response, 401)
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_with_the_token(guarded):
    for scheme in ("Bearer", "bearer"):
        headers = {"Authorization": f"{scheme} s3cret-ü".encode()}
        response = guarded.post("/annotate", json={"text": "a"}, headers=headers)
        assert response.status_code == 200


def test_the_token_is_asked_before_the_body_is_read(guarded):
    assert get_error(guarded.post("/annotate", content=b"x" * 1000), 401)


def test_health_needs_no_token(guarded):
    assert guarded.get("/health").status_code == 200


def test_without_fastapi_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(ImportError, match=r'pip install "spacy-tabcnn\[api\]"'):
        make_api(PIPELINE, ThreadPoolExecutor(1))


def test_requests_that_arrive_together_are_one_batch(open_client):
    batches, started, go_on = [], threading.Event(), threading.Event()

    def annotate_slowly(texts):
        batches.append(list(texts))
        started.set()
        assert go_on.wait(20)
        return annotate(texts)

    def post(client, text):
        return client.post("/annotate", json={"text": text}).json()["annotations"]

    pipeline = PIPELINE._replace(annotate=annotate_slowly)
    with open_client(pipeline=pipeline) as client, ThreadPoolExecutor(4) as pool:
        first = pool.submit(post, client, "first")
        assert started.wait(20)
        others = [pool.submit(post, client, text) for text in ("a", "bb", "ccc")]
        while client.get("/health").json()["waiting"] < 3:
            pass
        go_on.set()
        assert [len(future.result()) for future in (first, *others)] == [1] * 4
        ends = [future.result()[0]["entities"][0]["end"] for future in others]
    assert ends == [1, 2, 3]
    assert batches[0] == ["first"] and sorted(batches[1]) == ["a", "bb", "ccc"]


def send_and_leave(client, path, body):
    """Send a request; the function that is returned closes its connection without reading."""
    content = json.dumps(body).encode()
    header = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    header += f"Content-Length: {len(content)}\r\n\r\n"
    connection = socket.create_connection((client.base_url.host, client.base_url.port))
    connection.sendall(header.encode() + content)
    return connection.close


def test_texts_of_clients_that_have_gone_are_not_annotated(open_client):
    seen, started, go_on = [], threading.Event(), threading.Event()

    def annotate_slowly(texts):
        seen.extend(texts)
        started.set()
        assert go_on.wait(20)
        return annotate(texts)

    tasks = [{"data": {"text": f"task {number}"}} for number in range(6)]
    pipeline = PIPELINE._replace(annotate=annotate_slowly)
    limits = LIMITS._replace(batch_size=1, max_texts=1)
    with open_client(pipeline=pipeline, limits=limits) as client, ThreadPoolExecutor(1) as pool:
        leave = send_and_leave(client, "/annotate", {"text": "first"})
        assert started.wait(20)
        others = [send_and_leave(client, "/annotate", {"text": f"gone {i}"}) for i in range(3)]
        others.append(send_and_leave(client, "/predict", {"tasks": tasks}))
        while client.get("/health").json()["waiting"] < 4:
            pass
        for leave_too in (leave, *others):
            leave_too()
        while client.get("/health").json()["waiting"]:
            pass
        answer = pool.submit(client.post, "/annotate", json={"text": "me"})
        while not client.get("/health").json()["waiting"]:
            pass
        go_on.set()
        assert answer.result().status_code == 200
    assert seen == ["first", "me"]


def test_a_full_queue_answers_at_once(open_client):
    started, go_on = threading.Event(), threading.Event()

    def annotate_slowly(texts):
        started.set()
        assert go_on.wait(20)
        return annotate(texts)

    pipeline = PIPELINE._replace(annotate=annotate_slowly)
    limits = LIMITS._replace(max_waiting=1)
    with open_client(pipeline=pipeline, limits=limits) as client, ThreadPoolExecutor(2) as pool:
        post = partial(client.post, "/annotate", json={"text": "a"})
        running = pool.submit(post)
        assert started.wait(20)
        waiting = pool.submit(post)
        while client.get("/health").json()["waiting"] < 1:
            pass
        response = post()
        go_on.set()
        assert running.result().status_code == waiting.result().status_code == 200
    assert "try again" in get_error(response, 503) and response.headers["Retry-After"] == "1"


def test_answers_are_the_json_of_annotate(client, tmp_path):
    response = client.post("/annotate", json={"text": "a"})
    assert response.headers["Content-Type"] == "application/json"
    assert json.loads(response.content)["annotations"][0].keys() == {"entities", "relations"}
