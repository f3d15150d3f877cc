"""The documentation page of the API: HTML made of its OpenAPI description, without scripts."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import cast

_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 52rem; padding: 0 1rem; }
code, pre { font: 0.9rem/1.5 ui-monospace, monospace; }
pre { border: 1px solid color-mix(in srgb, currentColor 25%, transparent); border-radius: 4px;
  overflow: auto; padding: 0.75rem; }
table { border-collapse: collapse; }
td { border-top: 1px solid color-mix(in srgb, currentColor 25%, transparent);
  padding: 0.25rem 1rem 0.25rem 0; vertical-align: top; }
"""
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
    title = f"{info['title']} {info['version']}"
    parts = [
        f"<h1>{_show(title)}</h1>",
        f"<p>{_show(info['description'])}</p>",
        f"<pre>{escape(_EXAMPLE)}</pre>",
        "<p>The full description: <a href='openapi.json'>openapi.json</a>.</p>",
    ]
    for path, methods in _get(description, "paths").items():
        for method, operation in cast(Mapping[str, OpenApi], methods).items():
            parts += _render_operation(f"{method.upper()} {path}", operation)
    parts.append("<h2>Objects</h2>")
    for name, schema in _get(_get(description, "components"), "schemas").items():
        parts.append(f"<h3 id='{_show(name)}'>{_show(name)}</h3>")
        parts.append(f"<pre>{_dump(schema)}</pre>")
    body = "\n".join(parts)
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{_show(title)}</title>"
        "<meta name='viewport' content='width=device-width'>"
        f"<style>{_STYLE}</style></head><body><main>{body}</main></body></html>"
    )


def _render_operation(title: str, operation: OpenApi) -> Iterator[str]:
    yield f"<h2>{_show(title)}</h2>"
    yield f"<p>{_show(operation.get('description', operation.get('summary', '')))}</p>"
    if "requestBody" in operation:
        yield f"<p>Body: {_link(operation['requestBody'])}</p>"
    yield "<table>"
    for status, response in _get(operation, "responses").items():
        text = cast(OpenApi, response)["description"]
        yield f"<tr><td>{_show(status)}</td><td>{_show(text)}</td><td>{_link(response)}</td></tr>"
    yield "</table>"


def _link(item: object) -> str:
    """Return links to the objects that a body or an answer has."""
    links = []
    for name in _find_references(item):
        links.append(f"<a href='#{_show(name)}'>{_show(name)}</a>")
    return ", ".join(links)


def _find_references(item: object) -> Iterator[str]:
    if isinstance(item, dict):
        for key, value in item.items():
            if key == "$ref":
                yield str(value).rpartition("/")[2]
            else:
                yield from _find_references(value)


def _get(item: OpenApi, key: str) -> OpenApi:
    return cast(OpenApi, item.get(key, {}))


def _dump(item: object) -> str:
    return escape(json.dumps(item, indent=2, ensure_ascii=False))


def _show(text: object) -> str:
    return escape(str(text))
