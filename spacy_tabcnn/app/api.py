"""The API: annotation over HTTP, as an application of FastAPI."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from ..about import __version__
from ..bulk.rows import RowResult
from ..relations import is_text
from .api_errors import describe_problems, is_json, make_error
from .api_page import render_page
from .batcher import DEFAULT_BATCH, DEFAULT_WAITING, Batcher, BusyError, ClosedError
from .gone import GoneError, finish_unless_gone
from .guard import Asgi, Guard
from .label_studio import count_tasks, find_texts, make_predictions, read_interface
from .texts import MAX_CHARACTERS

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from starlette.responses import Response

_LOGGER = logging.getLogger("uvicorn.error")
# The documentation page loads nothing, from this server or others.
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
# Seconds that a batch has to end after the last request was answered or given up.
CLOSING_SECONDS = 2


class ApiLimits(NamedTuple):
    """The limits of requests.

    max_characters (int): Maximum length of a text.
    max_texts (int): Maximum number of texts of a request.
    max_tasks (int): Maximum number of tasks of a request of Label Studio.
    max_bytes (int): Maximum size of the body of a request.
    max_waiting (int): Maximum number of texts that wait for the pipeline.
    batch_size (int): Maximum number of texts that go through the pipeline at once.
    """

    max_characters: int = MAX_CHARACTERS
    max_texts: int = 64
    max_tasks: int = 10_000
    max_bytes: int = 2**23
    max_waiting: int = DEFAULT_WAITING
    batch_size: int = DEFAULT_BATCH


def _find_no_excess(text: str) -> str:
    return ""


class ServedPipeline(NamedTuple):
    """A pipeline as the API serves it.

    name (str): Its name and version.
    entities (list[str]): The labels of its entities.
    relations (list[str]): The labels of its relations.
    annotate (Callable): Annotates texts.
    find_excess (Callable): Describes a part of a text that would take too long; empty if there is
        none.
    """

    name: str
    entities: list[str]
    relations: list[str]
    annotate: Callable[[Sequence[str]], Sequence[RowResult]]
    find_excess: Callable[[str], str] = _find_no_excess


class Texts(BaseModel):
    """The body of a request: one text or several."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Annotated[str | None, Field(description="One text")] = None
    texts: Annotated[list[str] | None, Field(description="Several texts", min_length=1)] = None

    @model_validator(mode="after")
    def _check_one_field(self) -> "Texts":
        if (self.text is None) == (self.texts is None):
            raise ValueError("give either 'text', a string, or 'texts', a list of strings")
        if not all(map(is_text, self.list_texts())):
            raise ValueError("a text has half a surrogate pair, which is no Unicode")
        return self

    def list_texts(self) -> list[str]:
        """List the texts.

        RETURNS (list[str]): The texts.
        """
        if self.texts is None:
            return [str(self.text)]
        return self.texts


class LabelStudioTasks(BaseModel):
    """Tasks of Label Studio, and other fields."""

    tasks: Annotated[list[dict[str, JsonValue]], Field(description="Tasks with their data")]
    label_config: Annotated[str | None, Field(description="The labelling interface, as XML")] = None


class LabelStudioProject(BaseModel):
    """A project of Label Studio, and other fields."""

    # `schema` is a method of pydantic's.
    label_config: Annotated[
        str | None, Field(alias="schema", description="The labelling interface, as XML")
    ] = None


class LabelStudioPredictions(BaseModel):
    """The prediction of each task, in the order of the request."""

    results: list[dict[str, JsonValue]]


class LabelStudioVersion(BaseModel):
    """The name of the model."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: str


class Entity(BaseModel):
    """An entity, by its characters (code points) in the text."""

    start: int
    end: Annotated[int, Field(description="The character after the last one")]
    label: str
    score: float | None


class Relation(BaseModel):
    """A relation between two entities."""

    head: Annotated[int, Field(description="Position in `entities`")]
    tail: Annotated[int, Field(description="Position in `entities`")]
    label: str
    score: float


class Annotation(BaseModel):
    """The annotation of a text, or the reason why it failed."""

    entities: list[Entity]
    relations: list[Relation]
    error: Annotated[str | None, Field(description="Only if the pipeline failed on the text")] = (
        None
    )


class Annotations(BaseModel):
    """The annotation of each text, in the order of the request."""

    annotations: list[Annotation]


class Labels(BaseModel):
    """The labels that the pipeline predicts."""

    entities: list[str]
    relations: list[str]


class Health(BaseModel):
    """The state of the server."""

    status: str
    model: str
    version: Annotated[str, Field(description="Of spacy_tabcnn")]
    waiting: Annotated[int, Field(description="Texts that wait for the pipeline")]


class ErrorDetail(BaseModel):
    """A reason."""

    status: int
    message: str


class Error(BaseModel):
    """The answer to a request that fails."""

    error: ErrorDetail


_ERRORS = {
    401: "The token is missing or wrong",
    413: "A text is too long, or there are too many texts or tasks",
    422: "The body does not fit",
    500: "The pipeline failed",
    503: "The server is busy or shuts down: try again",
}


def make_api(
    pipeline: ServedPipeline,
    executor: ThreadPoolExecutor,
    *,
    limits: ApiLimits | None = None,
    token: str | None = None,
) -> Asgi:
    """Make the application.

    pipeline (ServedPipeline): The pipeline.
    executor (ThreadPoolExecutor): One thread, in which the pipeline was loaded.
    limits (ApiLimits | None): The limits of requests; None for the default ones.
    token (str | None): The token that requests need, see `clean_token`; None for none.
    RETURNS (Asgi): The application.
    RAISES (ImportError): If FastAPI is missing.
    """
    limits = limits or ApiLimits()
    app = _make_app(token)
    batcher = Batcher(
        pipeline.annotate,
        executor,
        batch_size=limits.batch_size,
        max_waiting=limits.max_waiting,
    )

    @asynccontextmanager
    async def run_batcher(_: "FastAPI") -> AsyncIterator[None]:
        batcher.start()
        yield
        await batcher.close(CLOSING_SECONDS)

    app.router.lifespan_context = run_batcher
    _add_errors(app)
    _add_annotate(app, pipeline, batcher, limits)
    _add_label_studio(app, pipeline, batcher, limits)
    _add_descriptions(app, pipeline, batcher)
    return Guard(app, token=token, max_bytes=limits.max_bytes)


def _make_app(token: str | None) -> "FastAPI":
    try:
        from fastapi import Depends, FastAPI
        from fastapi.security import HTTPBearer
    except ImportError as err:
        raise ImportError(
            f'The API needs fastapi ({err}). Install it with: pip install "spacy-tabcnn[api]"'
        ) from err
    dependencies = []
    if token is not None:
        # For the description only: `Guard` checks the token before the body is read.
        dependencies.append(Depends(HTTPBearer(auto_error=False)))
    return FastAPI(
        title="spacy_tabcnn",
        version=__version__,
        description="Entities and relations of texts.",
        docs_url=None,  # FastAPI's own pages load scripts from the network
        redoc_url=None,
        dependencies=dependencies,
    )


def _add_errors(app: "FastAPI") -> None:
    """Make all errors one form. Nothing of a request is in an answer, since it may be secret."""
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException

    async def refuse_body(request: "Request", error: Exception) -> "Response":
        message = "the body cannot be read. Send JSON in UTF-8"
        if not is_json(request.headers.get("content-type", "")):
            message = (
                "the body is not read as JSON: send the header 'Content-Type: application/json'"
            )
        elif isinstance(error, RequestValidationError):
            message = describe_problems(error.errors())
        return make_error(422, message)

    async def refuse(request: "Request", error: Exception) -> "Response":
        if isinstance(error, HTTPException) and error.status_code == 400:
            return await refuse_body(request, error)  # FastAPI cannot decode the body
        if isinstance(error, HTTPException):
            return make_error(error.status_code, str(error.detail), error.headers)
        return make_error(500, "the request failed")

    async def fail(_: "Request", error: Exception) -> "Response":
        return make_error(500, f"the request failed ({type(error).__name__}). See the log")

    app.add_exception_handler(RequestValidationError, refuse_body)
    app.add_exception_handler(HTTPException, refuse)
    app.add_exception_handler(Exception, fail)


def _add_annotate(
    app: "FastAPI", pipeline: ServedPipeline, batcher: Batcher, limits: ApiLimits
) -> None:
    from starlette.requests import Request
    from starlette.responses import JSONResponse

    @app.post("/annotate", response_model=Annotations, responses=_describe_errors())
    async def annotate(body: Texts, request: Request) -> "Response":
        """Annotate one text or several.

        Requests that arrive together go through the pipeline as one batch.
        """
        texts = body.list_texts()
        excess = _find_excess(texts, limits, pipeline.find_excess)
        if excess:
            return make_error(413, excess)
        try:
            results = await finish_unless_gone(batcher.submit(texts), request)
        except Exception as err:
            return _make_failure(err)
        return JSONResponse({"annotations": list(map(_to_annotation, results))})


def _describe_errors() -> dict[int | str, dict[str, object]]:
    responses: dict[int | str, dict[str, object]] = {}
    for status, description in _ERRORS.items():
        responses[status] = {"model": Error, "description": description}
    return responses


def _make_failure(err: Exception) -> "Response":
    """Answer whatever the pipeline raises; uvicorn would close the connection."""
    if isinstance(err, BusyError):
        return make_error(503, "too many texts are waiting: try again", {"Retry-After": "1"})
    if isinstance(err, ClosedError):
        return make_error(503, "the server shuts down: try again", {"Retry-After": "1"})
    if isinstance(err, GoneError):
        return make_error(499, "the client has closed the connection")  # nobody reads it
    _LOGGER.error("the pipeline failed", exc_info=err)
    name = type(err).__name__
    return make_error(500, f"the pipeline failed ({name}). See the server's log")


def _add_label_studio(
    app: "FastAPI", pipeline: ServedPipeline, batcher: Batcher, limits: ApiLimits
) -> None:
    """Answer as an ML backend of Label Studio."""
    from starlette.requests import Request
    from starlette.responses import JSONResponse

    @app.post("/setup", response_model=LabelStudioVersion, responses=_describe_errors())
    async def set_up(body: LabelStudioProject) -> "Response":
        """Check the labelling interface of a project of Label Studio."""
        try:
            read_interface(body.label_config)
        except ValueError as err:
            return make_error(422, str(err))
        return JSONResponse({"model_version": pipeline.name})

    @app.post("/predict", response_model=LabelStudioPredictions, responses=_describe_errors())
    async def predict(body: LabelStudioTasks, request: Request) -> "Response":
        """Predict the entities and relations of tasks of Label Studio.

        A task without a text, or with a text that is too long or that failed, has no results.
        """
        if len(body.tasks) > limits.max_tasks:
            return make_error(413, _count_excess(len(body.tasks), "tasks", limits.max_tasks))
        try:
            interface = read_interface(body.label_config)
        except ValueError as err:
            return make_error(422, str(err))
        texts = find_texts(body.tasks, interface)
        _drop_unfit(texts, limits, pipeline.find_excess)
        work = _submit_in_parts(list(texts.values()), batcher, limits.max_texts)
        try:
            results = await finish_unless_gone(work, request)
        except Exception as err:
            return _make_failure(err)
        predictions = make_predictions(
            len(body.tasks), texts, results, interface, model_version=pipeline.name
        )
        return JSONResponse({"results": predictions})


def _drop_unfit(
    texts: dict[int, str], limits: ApiLimits, find_excess: Callable[[str], str]
) -> None:
    """Remove the texts of tasks that are too long or no Unicode, in place."""
    unfit: list[int] = []
    for position, text in texts.items():
        # JSON can hold half a surrogate pair, such as "\ud83d".
        if _describe_length(text, limits) or find_excess(text) or not is_text(text):
            unfit.append(position)
    if unfit:
        _LOGGER.warning("tasks whose text is too long, or no Unicode: %s", count_tasks(unfit))
    for position in unfit:
        del texts[position]


async def _submit_in_parts(texts: Sequence[str], batcher: Batcher, size: int) -> list[RowResult]:
    """Annotate texts, a limited number at once, so that other requests have their turn."""
    results: list[RowResult] = []
    for start in range(0, len(texts), size):
        results += await batcher.submit(texts[start : start + size])
    return results


def _find_excess(texts: Sequence[str], limits: ApiLimits, find_excess: Callable[[str], str]) -> str:
    """Return the reason why texts are too many or too long; empty if they are not."""
    if len(texts) > limits.max_texts:
        return _count_excess(len(texts), "texts", limits.max_texts)
    for position, text in enumerate(texts):
        excess = _describe_length(text, limits) or find_excess(text)
        if excess:
            return f"text {position} has {excess}"
    return ""


def _describe_length(text: str, limits: ApiLimits) -> str:
    if len(text) <= limits.max_characters:
        return ""
    return f"{len(text):,} characters; at most {limits.max_characters:,} are allowed"


def _count_excess(number: int, name: str, limit: int) -> str:
    return f"the request has {number:,} {name}; at most {limit:,} are allowed"


def _to_annotation(result: RowResult) -> dict[str, object]:
    if "reason" in result:
        return {"entities": [], "relations": [], "error": result["reason"]}
    return {"entities": result["entities"], "relations": result["relations"]}


def _add_descriptions(app: "FastAPI", pipeline: ServedPipeline, batcher: Batcher) -> None:
    from starlette.responses import HTMLResponse

    @app.get("/labels", response_model=Labels)
    async def get_labels() -> Labels:
        """List the labels that the pipeline predicts."""
        return Labels(entities=pipeline.entities, relations=pipeline.relations)

    ended = {"model": Error, "description": "Requests are not answered any more"}

    @app.get("/health", response_model=Health, responses={503: ended})
    async def get_health() -> "Health | Response":
        """Report that the server is up. It needs no token."""
        if not batcher.is_running:
            return make_error(503, "requests are not answered any more. Start the server again")
        return Health(
            status="ok", model=pipeline.name, version=__version__, waiting=batcher.n_waiting
        )

    @app.get("/docs", include_in_schema=False, response_model=None)
    async def get_page() -> "Response":
        content = render_page(app.openapi())
        return HTMLResponse(content, headers={"Content-Security-Policy": _PAGE_POLICY})
