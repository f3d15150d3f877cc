"""What the build puts into the pages: the registered names with their docstrings, the components' default configs and
the commands. A hook of MkDocs; mkdocs.yml names it.

A page asks for it by a line of its own: `<!-- registered: GROUP -->`, with a group of entry points in setup.cfg, or
`<!-- commands -->`.
"""

import re
from importlib import import_module
from importlib.metadata import distribution
from typing import Any

import typer.main
from spacy.language import Language
from thinc.api import Config
from typer.cli import get_docs_for_click

from spacy_tabcnn.cli import tabcnn_cli

_REGISTERED = re.compile(r"^<!-- registered: (\w+) -->$", re.MULTILINE)
_COMMANDS = "<!-- commands -->"
_EXAMPLES = re.compile(r"^EXAMPLES?:$((?:\n+^(?!\*\*).+)+)", re.MULTILINE)


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """Fill in what a page asks for. MkDocs calls this for every page.

    markdown (str): The page.
    kwargs: Not needed.
    RETURNS (str): The page to render.
    """
    markdown = _REGISTERED.sub(lambda match: render_group(match[1]), markdown)
    return markdown.replace(_COMMANDS, render_commands()) if _COMMANDS in markdown else markdown


def render_group(group: str) -> str:
    """Describe what is registered in a group of entry points.

    group (str): The group, such as "spacy_factories".
    RETURNS (str): A heading, the docstring and, of a component, the default config for each.
    RAISES (ValueError): If it is empty.
    """
    names_of: dict[str, list[str]] = {}
    for entry in distribution("spacy-tabcnn").entry_points.select(group=group):
        names_of.setdefault(entry.value.replace(":", "."), []).append(entry.name)
    if not names_of:
        raise ValueError(
            f"spacy-tabcnn registers nothing in the group {group!r}; see the entry points in setup.cfg"
        )
    parts = []
    for target, names in sorted(names_of.items(), key=lambda item: item[1]):
        heading = ", ".join(names)
        parts.append(
            f"::: {target}\n    options:\n      heading: '{heading}'\n      toc_label: '{names[-1]}'\n"
        )
        if group == "spacy_factories":
            import_module(
                target.rpartition(".")[0]
            )  # spaCy does so as late as a pipeline asks for the component
            parts.append(f"Default config:\n\n```ini\n{render_defaults(names[-1])}\n```\n")
    return "\n".join(parts)


def render_defaults(factory: str) -> str:
    """Write the default config of a component as it stands in a config file.

    factory (str): Name of its factory.
    RETURNS (str): The blocks of the config.
    """
    settings = {"factory": factory, **(Language.get_factory_meta(factory).default_config or {})}
    text = Config({"components": {factory: settings}}).to_str(interpolate=False)
    return text.removeprefix("[components]\n").strip()


def render_commands() -> str:
    """Describe the commands of `spacy tabcnn`.

    RETURNS (str): A section for each, by Typer's own documentation of commands.
    """
    group: Any = typer.main.get_command(tabcnn_cli)
    context = group.context_class(group, info_name="spacy tabcnn")
    sections = [
        get_docs_for_click(
            obj=command, ctx=context, indent=1, name=name, call_prefix="spacy tabcnn"
        )
        for name, command in sorted(group.commands.items())
    ]
    return _EXAMPLES.sub(_render_examples, "\n".join(sections))


def _render_examples(match: re.Match[str]) -> str:
    # A command that is wrapped goes on in the next line; an empty line ends it.
    commands = [" ".join(command.split()) for command in re.split(r"\n\n+", match[1].strip())]
    return "\n".join(["```bash", *commands, "```"])
