"""The templates of pages and pictures, by Jinja2. Texts are escaped unless they are `Markup`."""

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined
from markupsafe import Markup


def hash_source(text: str) -> str:
    """Compute the hash of a script or a style sheet, the only one that a page's policy allows.

    text (str): The content of the element `script` or `style`.
    RETURNS (str): The source expression of a Content-Security-Policy.
    """
    digest = b64encode(sha256(text.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"


_ENVIRONMENT = Environment(
    loader=PackageLoader("spacy_tabcnn.visual"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["hash_source"] = hash_source


def render(name: str, *, folder: Path | None = None, **values: object) -> Markup:
    """Fill a template.

    name (str): File name in the folder `templates`, such as "page.html".
    folder (Path | None): A folder with further templates, which may extend these.
    values (object): The values of the template. A text is escaped; the result of another template
        is not escaped again.
    RETURNS (Markup): HTML or SVG.
    RAISES (jinja2.UndefinedError): If the template reads a value that is missing.
    """
    environment = _ENVIRONMENT
    if folder is not None:
        loaders = [FileSystemLoader(folder), PackageLoader("spacy_tabcnn.visual")]
        environment = environment.overlay(loader=ChoiceLoader(loaders))
    return Markup(environment.get_template(name).render(values))
