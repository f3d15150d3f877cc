"""The order of the rooms: each imports from earlier rooms only, and no import closes a circle."""

import ast
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "spacy_tabcnn"
# A file or a folder of the package each. Rooms of one line are siblings: they do not import each
# other.
ORDER = (
    ("about",),
    ("files", "storage", "labels", "groups"),
    ("relations",),
    ("documents", "json_data"),
    ("extensions",),
    ("arrays",),
    ("sentences",),
    ("predictions",),
    ("alignment",),
    ("table", "spans", "word_pairs"),
    ("heads",),
    ("runtime",),
    ("models",),
    ("pipeline",),
    ("evaluation",),
    ("corpora",),
    ("training",),
    ("bulk",),
    ("visual",),
    ("app",),
    ("cli",),
)
RANKS = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}


def find_modules(package: Path) -> dict[str, Path]:
    """Return the path of each module of a package by the module's full name."""
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        modules[name] = path
    return modules


def runtime_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a tree, functions included, except those under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from runtime_nodes(child)


def read_imports(module: str, path: Path) -> set[str]:
    """Return the full names that a module imports: modules, and names within modules."""
    names: set[str] = set()
    parts = module.split(".")
    if path.name == "__init__.py":
        parts.append("__init__")
    for node in runtime_nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = parts[: -node.level] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            names.update(f"{source}.{alias.name}" for alias in node.names)
    return names


def resolve(name: str, modules: Iterable[str]) -> str | None:
    """Return the module of the package that holds an imported name, if one does."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def read_graph(package: Path) -> dict[str, set[str]]:
    """Return the modules of the package that each module imports."""
    modules = find_modules(package)
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        found = {resolve(name, modules) for name in read_imports(module, path)}
        graph[module] = {name for name in found if name is not None and name != module}
    return graph


def room_of(module: str) -> str:
    """Return the room of a module; the package itself is a room without a name."""
    return module.partition(".")[2].partition(".")[0]


MODULES = find_modules(ROOT / PACKAGE)
GRAPH = read_graph(ROOT / PACKAGE)
PAIRS = sorted((module, imported) for module, names in GRAPH.items() for imported in names)


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    """Return a circle of a graph, empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as err:
        return err.args[1]
    return []


def test_the_order_names_every_room():
    assert {room_of(module) for module in MODULES} == {"", *RANKS}


def test_no_module_imports_in_a_circle():
    # A package's own file holds its public names; it may import the modules beside it.
    graph = {module: names for module, names in GRAPH.items() if module != PACKAGE}
    assert find_circle(graph) == []


def test_no_room_imports_in_a_circle():
    graph: dict[str, set[str]] = {}
    for module, imported in PAIRS:
        if room_of(module) and room_of(imported) and room_of(module) != room_of(imported):
            graph.setdefault(room_of(module), set()).add(room_of(imported))
    assert find_circle(graph) == []


def test_no_room_imports_from_a_later_room():
    upward = [
        f"{module} imports {imported}"
        for module, imported in PAIRS
        if RANKS.get(room_of(module), len(ORDER)) < RANKS.get(room_of(imported), -1)
    ]
    assert upward == []


def test_siblings_do_not_import_each_other():
    crossing = [
        f"{module} imports {imported}"
        for module, imported in PAIRS
        if room_of(module) != room_of(imported)
        and RANKS.get(room_of(module)) == RANKS.get(room_of(imported))
    ]
    assert crossing == []


@pytest.mark.parametrize("library", ["spacy", "thinc"])
def test_the_heads_and_all_that_they_import_know_neither_spacy_nor_thinc(library):
    waiting = [module for module in MODULES if room_of(module) == "heads"]
    seen = set(waiting)
    found = []
    while waiting:
        module = waiting.pop()
        for name in read_imports(module, MODULES[module]):
            if name.partition(".")[0] == library:
                found.append(f"{module} imports {name}")
        new = GRAPH[module] - seen
        seen |= new
        waiting.extend(new)
    assert found == []


def test_the_package_imports_nothing_that_stays_in_the_repository():
    outside = []
    for module, path in MODULES.items():
        for name in read_imports(module, path):
            if name.partition(".")[0] in ("experiments", "benchmarks", "tests"):
                outside.append(f"{module} imports {name}")
    assert outside == []
