"""The generated parts of the pages.

These are the registered names with their docstrings, the components' default configs and the
commands. A page has a line for each part: `<!-- registered: GROUP -->`, with a group of entry
points in setup.cfg, or `<!-- commands -->`. This module is a hook of MkDocs; mkdocs.yml names it.
"""

import re
from importlib import import_module
from importlib.metadata import distribution
from operator import itemgetter
from typing import cast

import typer.core
import typer.main
from spacy.language import Language
from thinc.api import Config
from typer.cli import get_docs_for_click

from spacy_tabcnn.cli import tabcnn_cli

_REGISTERED = re.compile(r"^<!-- registered: (\w+) -->$", re.MULTILINE)
_COMMANDS = "<!-- commands -->"
_EXAMPLES = re.compile(r"^EXAMPLES?:$((?:\n+^(?!\*\*).+)+)", re.MULTILINE)


def on_page_markdown(markdown: str, **kwargs: object) -> str:
    """Fill in the generated parts of a page. MkDocs calls this for every page.

    markdown (str): The page.
    kwargs: Not needed.
    RETURNS (str): The page to render.
    """
    markdown = _REGISTERED.sub(_render_registered, markdown)
    if _COMMANDS in markdown:
        markdown = markdown.replace(_COMMANDS, render_commands())
    return markdown


def _render_registered(match: re.Match[str]) -> str:
    return render_group(match[1])


def render_group(group: str) -> str:
    """Describe the registered names of a group of entry points.

    group (str): The group, such as "spacy_factories".
    RETURNS (str): A heading and the docstring for each function, and the default config of a
        component.
    RAISES (ValueError): If the group is empty.
    """
    names_of: dict[str, list[str]] = {}
    for entry in distribution("spacy-tabcnn").entry_points.select(group=group):
        names_of.setdefault(entry.value.replace(":", "."), []).append(entry.name)
    if not names_of:
        raise ValueError(
            f"spacy-tabcnn registers nothing in the group {group!r}; see the entry points in "
            "setup.cfg"
        )
    parts = []
    for target, names in sorted(names_of.items(), key=itemgetter(1)):
        parts.append(
            f"::: {target}\n    options:\n      heading: '{', '.join(names)}'\n"
            f"      toc_label: '{names[-1]}'\n"
        )
        if group == "spacy_factories":
            # The import registers the component, as spaCy does when a pipeline needs it.
            import_module(target.rpartition(".")[0])
            parts.append(f"Default config:\n\n```ini\n{render_defaults(names[-1])}\n```\n")
    return "\n".join(parts)


def render_defaults(factory: str) -> str:
    """Render the default config of a component in the form of a config file.

    factory (str): Name of its factory.
    RETURNS (str): The blocks of the config.
    """
    settings = {"factory": factory, **(Language.get_factory_meta(factory).default_config or {})}
    text = Config({"components": {factory: settings}}).to_str(interpolate=False)
    return text.removeprefix("[components]\n").strip()


def render_commands() -> str:
    """Describe the commands of `spacy tabcnn`.

    RETURNS (str): A section for each command, in the form of Typer's own documentation.
    """
    group = cast(typer.core.TyperGroup, typer.main.get_command(tabcnn_cli))
    context = cast(typer.Context, group.context_class(group, info_name="spacy tabcnn"))
    sections = []
    for name, command in sorted(group.commands.items()):
        sections.append(
            get_docs_for_click(
                obj=command, ctx=context, indent=1, name=name, call_prefix="spacy tabcnn"
            )
        )
    return _EXAMPLES.sub(_render_examples, "\n".join(sections))


def _render_examples(match: re.Match[str]) -> str:
    """Render examples as a code block. An empty line ends a command, a line break does not."""
    lines = ["```bash"]
    for command in re.split(r"\n\n+", match[1].strip()):
        lines.append(" ".join(command.split()))
    return "\n".join([*lines, "```"])
