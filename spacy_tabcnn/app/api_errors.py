"""The errors of the API, in one form: `{"error": {"status": 413, "message": "..."}}`."""

from collections.abc import Mapping, Sequence
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

    Their values, and the names of unknown fields, are not shown.

    problems (Sequence[Mapping[str, object]]): The errors of pydantic.
    RETURNS (str): The place and the reason of the first ones.
    """
    parts = []
    for problem in problems[:_MAX_SHOWN]:
        location = problem.get("loc")
        if problem.get("type") == "extra_forbidden":
            parts.append("a field is unknown; expected 'text' or 'texts'")
            continue
        place = ""
        if isinstance(location, list | tuple):
            place = ".".join(map(str, location[1:]))
        message = str(problem.get("msg")).removeprefix("Value error, ")
        parts.append(": ".join(filter(None, [place, message])))
    if len(problems) > _MAX_SHOWN:
        parts.append(f"and {len(problems) - _MAX_SHOWN} more")
    return "; ".join(parts)
