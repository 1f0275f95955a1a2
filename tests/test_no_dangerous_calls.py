"""Nothing here runs what it was given as code: no pickle, eval, exec, unsafe YAML or shell.

Ruff's S rules are on and say the same of most; this walks the syntax tree, covers the notebooks,
and cannot be waved through by a comment. What listens does so on this machine only.
"""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from twofa_lab.delivery.local_provider import serve

ROOT = Path(__file__).resolve().parents[1]

MODULES = frozenset(
    ("cPickle", "cloudpickle", "dill", "jsonpickle", "marshal", "pickle", "pty", "shelve")
)
"""Modules that load code with data, or hand a shell out."""

CALLS = re.compile(
    r"(builtins\.)?(eval|exec|compile|__import__)"
    r"|.*\.(eval|read_pickle|to_pickle|unsafe_load|full_load|unsafe_load_all|full_load_all)"
    r"|yaml\.load_all|joblib\.load|torch\.load|tempfile\.mktemp"
    r"|os\.(system|popen|exec[lv]\w*|spawn\w+|posix_spawnp?)"
    r"|subprocess\.(getoutput|getstatusoutput)"
    r"|.*get_ipython\(\)\.\w+"
)
"""Calls that run text or load code, by their dotted names."""

LISTENS = re.compile(
    r"(.*\.)?(\w*HTTPServer|TCPServer|UDPServer|create_server|start_server|run_server|bind|listen)"
)
LISTENERS = {
    "twofa_lab/delivery/local/server.py": {"ThreadingHTTPServer"},
    "twofa_lab/store/testing.py": {"probe.bind"},  # finds a free port, on 127.0.0.1
}
"""Who may listen. Factors are bound in `twofa_lab/flow`, which is another word."""

_MAGIC = re.compile(r"^(\s*)(%matplotlib inline)$", re.M)


def sources() -> Iterator[tuple[str, str]]:
    """Every file of the package, the benchmarks and the notebooks, and its Python."""
    for folder in ("twofa_lab", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, 4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        yield str(path.relative_to(ROOT)), _MAGIC.sub(r"\1pass", text)


def dotted(node: ast.expr, known: dict[str, str]) -> str:
    """A call's name with its modules in full, as `yaml.load`; "" where it has none."""
    match node:
        case ast.Name(id=name):
            return known.get(name, name)
        case ast.Attribute(value=value, attr=name):
            return f"{dotted(value, known)}.{name}"
        case ast.Call(func=called):
            return f"{dotted(called, known)}()"
        case _:
            return ""


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Every name that imports bring in, and what it stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                yield one.asname or one.name.split(".")[0], one.name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for one in node.names:
                yield one.asname or one.name, f"{node.module}.{one.name}"


def dangers(text: str) -> list[str]:
    """What a source does that it must not, as "line: what"; a notebook's shell is no Python."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        return [f"{error.lineno}: not Python: a magic or a shell command"]
    found = [f"import {module}" for _, module in imported(tree) if module.split(".")[0] in MODULES]
    known = dict(imported(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and CALLS.fullmatch(dotted(node, known)):
            found.append(f"{node.lineno}: {dotted(node, known)}")
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func, known)
        given = {one.arg: one.value for one in node.keywords if one.arg}
        if name == "yaml.load" and not _safe_loader(node, text):
            found.append(f"{node.lineno}: yaml.load")
        for option in ("shell", "allow_pickle"):
            value = given.get(option)
            if value is not None and not (isinstance(value, ast.Constant) and value.value is False):
                found.append(f"{node.lineno}: {name}({option}=...)")
    return found


def _safe_loader(call: ast.Call, text: str) -> bool:
    """Whether `yaml.load` has a loader that is the safe one or a class over it in this file."""
    given = [*call.args[1:2], *(one.value for one in call.keywords if one.arg == "Loader")]
    if not given or not isinstance(given[0], ast.Name):
        return False
    return re.search(rf"^class {given[0].id}\((?:yaml\.)?C?SafeLoader\)", text, re.M) is not None


FILES = dict(sources())


def test_there_is_something_to_look_at() -> None:
    kinds = [sum(name.startswith(folder) for name in FILES) for folder in
             ("twofa_lab/", "benchmarks/", "notebooks/")]  # fmt: skip
    print(dict(zip(("package", "benchmarks", "notebooks"), kinds, strict=True)))  # noqa: T201
    assert all(count >= least for count, least in zip(kinds, (200, 8, 8), strict=True))


def test_nothing_runs_what_it_was_given() -> None:
    found = {name: dangers(text) for name, text in FILES.items()}
    assert {name: bad for name, bad in found.items() if bad} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import os.path, marshal as m",
        "def f():\n    import dill",
        "eval('1')",
        "run = exec",
        "import builtins\nbuiltins.eval('1')",
        "frame.eval('a + b')",
        "compile(text, 'x', 'exec')",
        "__import__(name)",
        "import yaml\nyaml.load(text)",
        "import yaml\nyaml.load(text, yaml.Loader)",
        "import yaml\nclass L(yaml.Loader): ...\nyaml.load(text, L)",
        "from yaml import unsafe_load\nunsafe_load(text)",
        "import yaml as y\ny.load(text, Loader=y.UnsafeLoader)",
        "import os\nos.system('ls')",
        "from os import system\nsystem('ls')",
        "import os as o\no.popen('ls')",
        "import os\nos.execvp('ls', [])",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "from subprocess import run\nrun('ls', shell=flag)",
        "import subprocess as s\ns.getoutput('ls')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import pandas as pd\npd.read_pickle('x')",
        "frame.to_pickle('x')",
        "import tempfile\ntempfile.mktemp()",
        "!ls",
        "%run other.py",
        "get_ipython().system('ls')",
    ],
)
def test_each_of_them_would_be_found(source: str) -> None:
    assert dangers(source) != []


@pytest.mark.parametrize(
    "source",
    [
        "import yaml\nclass L(yaml.SafeLoader): ...\nyaml.load(text, L)",
        "import re\nre.compile('x')",
        "import subprocess\nsubprocess.run(['ls'], shell=False)",
        "import numpy as np\nnp.load('x', allow_pickle=False)",
        "import json\njson.load(file)",
    ],
)
def test_what_is_harmless_passes(source: str) -> None:
    assert dangers(source) == []


# -- what listens ----------------------------------------------------------------------------------


def listeners(text: str) -> set[str]:
    """Names by which a source could listen."""
    tree = ast.parse(text)
    names = {dotted(node, {}) for node in ast.walk(tree) if isinstance(node, ast.Name)}
    calls = {dotted(node.func, {}) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = {name for name in names | calls if LISTENS.fullmatch(name)}
    return {name for name in found if name not in {"listen", "bind", "change.bind"}}


def test_one_server_listens() -> None:
    python = {name: text for name, text in FILES.items() if name.endswith(".py")}
    found = {name: listeners(text) for name, text in python.items() if listeners(text)}
    assert found == LISTENERS


@pytest.mark.parametrize(
    "source",
    ["HTTPServer(('', 80), H)", "socket.create_server(x)", "s.bind(x)", "class S(TCPServer): ..."],
)
def test_another_one_would_be_found(source: str) -> None:
    assert listeners(source) != set()


def test_it_listens_on_this_machine_unless_told_otherwise_and_cannot_be() -> None:
    """`tests/delivery/test_local_provider.py` holds that any other host is refused, and that what
    shows data wants its token."""
    assert inspect.signature(serve).parameters["host"].default == "127.0.0.1"
    assert "0.0.0.0" not in "".join(FILES.values())  # noqa: S104 - must not be there


# -- exceptions to ruff's rules of security --------------------------------------------------------


def test_each_exception_to_a_rule_of_security_has_its_reason() -> None:
    """As in `# noqa: S603 - our own argument list`."""
    lines = [
        f"{name}: {line.strip()}"
        for name, text in FILES.items()
        for line in text.splitlines()
        if re.search(r"noqa:[A-Z0-9, ]*\bS\d", line)
    ]
    reason = re.compile(r"noqa:[A-Z0-9, ]*\bS\d[A-Z0-9, ]* - \w")
    reason = re.compile(r"noqa:[A-Z0-9, ]*\bS\d[A-Z0-9, ]* - \w")
    bare = [line for line in lines if not reason.search(line)]
    print(f"{len(lines)} exceptions")  # noqa: T201 - a count to see
    assert lines
    assert bare == []


def test_rules_of_security_are_on_for_everything() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"][
        "lint"
    ]
    assert "S" in lint["select"]
    assert not [rule for rule in lint["ignore"] if rule.startswith("S")]
    waived = {where: [rule for rule in rules if rule.startswith("S")]
              for where, rules in lint["per-file-ignores"].items()}  # fmt: skip
    assert {where: rules for where, rules in waived.items() if rules} == {"tests/**": ["S101"]}
