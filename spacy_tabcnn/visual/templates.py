"""The templates of pages and pictures, by Jinja2. Texts are escaped unless they are `Markup`."""

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_ENVIRONMENT = Environment(
    loader=PackageLoader("spacy_tabcnn.visual"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(name: str, **values: object) -> Markup:
    """Fill a template.

    name (str): File name in the folder `templates`, such as "page.html".
    values (object): The values of the template. A text is escaped; the result of another template
        is not escaped again.
    RETURNS (Markup): HTML or SVG.
    RAISES (jinja2.UndefinedError): If the template reads a value that is missing.
    """
    return Markup(_ENVIRONMENT.get_template(name).render(values))
