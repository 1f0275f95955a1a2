"""The shape of the source tree: layers, sizes, docstrings, cheap imports, nothing private."""

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "twofa_lab"

# From the top down: imports only point down this list; rooms on one line may import each other.
# The package itself stands on top, since its public names come from every room.
LAYERS = (
    ("twofa_lab", "__main__", "cli", "widgets", "reports"),
    ("analysis",),
    ("replay",),
    ("traffic",),
    ("flow",),
    ("delivery",),
    ("factors",),
    ("risk",),
    ("store",),
    ("catalog",),
    ("tables", "sheet", "errors", "compiled"),
)
RANK = {room: rank for rank, layer in enumerate(LAYERS) for room in layer}

MODULE_LINES = 400
FUNCTION_LINES = 80  # without the docstring

# "path" or "path:function" -> why it is better long.
LONG_ON_PURPOSE: dict[str, str] = {
    "twofa_lab/replay/loop.py:replay_rows": (
        "the closed loop: one login's path read from top to bottom, whose running counters "
        "every split would have to hand around"
    ),
}

HEAVY = {"pandas", "numba", "matplotlib", "sklearn", "pyarrow"}


def python_files(*folders: str) -> list[Path]:
    """Every Python file of these folders, none of which need exist yet."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    """`twofa_lab/risk/policy.py` -> `twofa_lab.risk.policy`; a package's name for `__init__`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in python_files("twofa_lab")}


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def named_imports(nodes: Iterator[ast.AST], name: str, path: Path) -> Iterator[tuple[str, int]]:
    """The modules of this package that these nodes import, each with its line."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in nodes:
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            up = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])])
            # `from a.b import c` names the module a.b.c where there is one, else a name of a.b.
            joined = [f"{base}.{alias.name}" for alias in node.names]
            targets = [target if target in MODULES else base for target in joined]
        else:
            continue
        for target in targets:
            if target.split(".")[0] == "twofa_lab":
                yield target, node.lineno


def room_of(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def upward_imports(name: str, path: Path, tree: ast.Module) -> list[str]:
    """Each import anywhere in the module, deferred ones too, that points up the room list."""
    return [
        f"{path.name}:{line}: {room_of(name)} imports {room_of(target)} ({target})"
        for target, line in named_imports(ast.walk(tree), name, path)
        if RANK.get(room_of(target), 0) < RANK.get(room_of(name), 0)
    ]


def statements_run_on_import(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Statements of a module outside functions and `if TYPE_CHECKING`."""
    for node in body:
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from statements_run_on_import(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for field in ("body", "orelse", "handlers", "finalbody"):
                yield from statements_run_on_import(getattr(node, field, []))


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, docstring left out: explaining at length is welcome."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


def too_long(path: Path) -> Iterator[tuple[str, int]]:
    """The module and each of its functions that exceed their limit, with their lines."""
    where = path.relative_to(ROOT).as_posix()
    lines = len(path.read_text(encoding="utf-8").splitlines())
    if lines > MODULE_LINES:
        yield where, lines
    for node in ast.walk(parse(path)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if code_lines(node) > FUNCTION_LINES:
            yield f"{where}:{node.name}", code_lines(node)


def tracked_files() -> list[Path]:
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-z"],  # noqa: S607 - wherever this machine keeps git
            cwd=ROOT,
            capture_output=True,
            check=True,
            text=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout, so there is no list of tracked files")
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


PRIVATE = re.compile(
    r"""
      \.\./shared\b | \bwork/shared\b | \bshared/(?:data|reference|design|style)\b
    | (?<![\w./~-])/(?:work|root|home|Users|opt|srv)/[\w.]
    | \bpypi\.org\b | \bpythonhosted\.org\b | \bregistry\.npmjs\b | \bdeb\.debian\b
    | \banaconda\.(?:org|com)\b | --(?:extra-)?index-url | --find-links
    """,
    re.VERBOSE,
)


def test_every_room_has_its_place() -> None:
    unplaced = sorted({room_of(name) for name in MODULES} - set(RANK))
    assert not unplaced, f"place these in LAYERS, at the height their imports need: {unplaced}"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_point_down(name: str) -> None:
    assert upward_imports(name, MODULES[name], parse(MODULES[name])) == []


@pytest.mark.parametrize(
    "source",
    [
        "from twofa_lab.replay import loop",
        "import twofa_lab.replay.loop as loop",
        "from twofa_lab import replay",
        "from ..replay import loop",
        "def late():\n    from twofa_lab import replay",
    ],
)
def test_an_upward_import_is_seen(source: str) -> None:
    path = PACKAGE / "risk" / "anything.py"
    assert upward_imports("twofa_lab.risk.anything", path, ast.parse(source))
    assert not upward_imports("twofa_lab.analysis.anything", path, ast.parse(source))


def test_modules_import_each_other_in_no_circle() -> None:
    graph = {
        name: {
            target
            for target, _ in named_imports(statements_run_on_import(parse(path).body), name, path)
            if target != name and target in MODULES
        }
        for name, path in MODULES.items()
    }
    graphlib.TopologicalSorter(graph).prepare()


def test_nothing_is_too_long() -> None:
    found = dict(
        finding
        for path in python_files("twofa_lab", "tests", "benchmarks")
        for finding in too_long(path)
    )
    assert {place: n for place, n in found.items() if place not in LONG_ON_PURPOSE} == {}
    assert set(LONG_ON_PURPOSE) <= set(found), "no longer too long: take it off the list"


def test_no_tracked_file_names_what_is_not_the_projects() -> None:
    found = []
    for path in tracked_files():
        where = path.relative_to(ROOT)
        if where.parts[0] == "tests":
            continue
        text = path.read_bytes().decode("utf-8", errors="ignore")
        for number, line in enumerate(text.splitlines(), start=1):
            if match := PRIVATE.search(line):
                found.append(f"{where}:{number}: {match[0]}")
    assert found == []


def test_the_private_pattern_catches_what_it_should_and_no_more() -> None:
    for text in ("see ../shared/x", "'/work/main'", "(/root/.cache)", "--index-url x", "/home/me"):
        assert PRIVATE.search(text), text
    for text in ("home / work / mobile", "home/work/mobile", "a shared/common core", "docs/work/x"):
        assert not PRIVATE.search(text), text


@pytest.mark.parametrize(
    "name",
    sorted(name for name in MODULES if not any(part.startswith("_") for part in name.split("."))),
)
def test_public_modules_say_what_they_are_for_and_export(name: str) -> None:
    tree = parse(MODULES[name])
    assert ast.get_docstring(tree), f"{name} has no docstring"
    only_docstring = len(tree.body) == 1
    names = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    assert only_docstring or "__all__" in names, f"{name} has no __all__"


def test_importing_the_package_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, twofa_lab; print(twofa_lab.__file__, *sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    where, *loaded = done.stdout.split()
    assert Path(where) == PACKAGE / "__init__.py"
    assert HEAVY & set(loaded) == set()
