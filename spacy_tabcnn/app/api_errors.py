"""The errors of the API, in one form: `{"error": {"status": 413, "message": "..."}}`."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.responses import JSONResponse

_MAX_SHOWN = 3


def make_error(
    status: int, message: str, headers: Mapping[str, str] | None = None
) -> "JSONResponse":
    """Make the answer to a request that fails.

    status (int): The status of HTTP.
    message (str): The reason, and the way out.
    headers (Mapping[str, str] | None): Headers of the answer.
    RETURNS (JSONResponse): The answer.
    """
    from starlette.responses import JSONResponse

    content = {"error": {"status": status, "message": message}}
    return JSONResponse(content, status_code=status, headers=headers)


def describe_problems(problems: Sequence[Mapping[str, object]]) -> str:
    """Describe the fields of a request that do not fit.

    Their values, and the names of fields that the API does not define, are not shown.

    problems (Sequence[Mapping[str, object]]): The errors of pydantic.
    RETURNS (str): The place and the reason of the first ones.
    """
    parts = []
    for problem in problems[:_MAX_SHOWN]:
        if problem.get("type") == "extra_forbidden":
            parts.append("a field is unknown; expected 'text' or 'texts'")
            continue
        place = _describe_place(problem.get("loc"))
        message = str(problem.get("msg")).removeprefix("Value error, ")
        parts.append(": ".join(filter(None, [place, message])))
    if len(problems) > _MAX_SHOWN:
        parts.append(f"and {len(problems) - _MAX_SHOWN} more")
    return "; ".join(parts)


def is_json(content_type: str) -> bool:
    """Check whether a body is read as JSON.

    content_type (str): The header Content-Type; empty if the request has none.
    RETURNS (bool): True for application/json, and for types that end in +json.
    """
    name = content_type.partition(";")[0].strip().lower()
    return name == "application/json" or (
        name.startswith("application/") and name.endswith("+json")
    )


def _describe_place(location: object) -> str:
    """Describe the place of a problem in the body: a field of the API, and positions in its list.

    Deeper fields are the client's own.
    """
    if not isinstance(location, list | tuple) or len(location) < 2:
        return ""
    positions = takewhile(lambda part: isinstance(part, int), location[2:])
    return ".".join(map(str, [location[1], *positions]))
