"""The documentation page of the API: HTML made of its OpenAPI description, without scripts."""

import json
from collections.abc import Iterator, Mapping
from typing import cast

from ..visual.templates import render

_EXAMPLE = """curl http://127.0.0.1:8501/annotate \\
    --header 'Content-Type: application/json' \\
    --data '{"text": "Wole Soyinka was born in Abeokuta."}'"""

# An object of OpenAPI: JSON with string keys.
OpenApi = Mapping[str, object]


def render_page(description: OpenApi) -> str:
    """Render the page.

    description (OpenApi): The description of the API, as `/openapi.json` has it.
    RETURNS (str): HTML.
    """
    info = _get(description, "info")
    operations = []
    for path, methods in _get(description, "paths").items():
        for method, operation in cast(Mapping[str, OpenApi], methods).items():
            operations.append(_describe(f"{method.upper()} {path}", operation))
    schemas = {}
    for name, schema in _get(_get(description, "components"), "schemas").items():
        schemas[name] = json.dumps(schema, indent=2, ensure_ascii=False)
    return render(
        "api.html",
        title=f"{info['title']} {info['version']}",
        description=info["description"],
        example=_EXAMPLE,
        operations=operations,
        schemas=schemas,
    )


def _describe(title: str, operation: OpenApi) -> dict[str, object]:
    """Describe an operation for the template."""
    responses = []
    for status, response in _get(operation, "responses").items():
        text = cast(OpenApi, response)["description"]
        body = list(_find_references(response))
        responses.append({"status": status, "text": text, "body": body})
    return {
        "title": title,
        "text": operation.get("description", operation.get("summary", "")),
        "body": list(_find_references(operation.get("requestBody"))),
        "responses": responses,
    }


def _find_references(item: object) -> Iterator[str]:
    """Find the names of the objects that a body or an answer has."""
    if isinstance(item, dict):
        for key, value in item.items():
            if key == "$ref":
                yield str(value).rpartition("/")[2]
            else:
                yield from _find_references(value)


def _get(item: OpenApi, key: str) -> OpenApi:
    return cast(OpenApi, item.get(key, {}))
