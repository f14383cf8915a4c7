"""The house's own rules: who may import whom, who may start processes, how long things may get."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("builder", "lab", "ztgate", "tests")

# Where a file lives, and which of our packages it may import.
MAY_IMPORT = {
    "build.py": {"builder", "lab"},
    "builder": {"builder"},
    "firstboot/ztgate": {"ztgate"},
    "lab": {"lab"},
    "lab/standin/zerotier_one_standin": {"zerotier_one_standin"},
}
# gateway.yaml has one reader, and the builder asks it too; a controller is written to by one code.
# What members are handed out has one writer.
EXCEPTIONS = {
    "builder/gateway_config.py": {"ztgate"},
    "builder/kit.py": {"ztgate"},
    "builder/registrar.py": {"ztgate"},
}
# The only files that start processes, one a program.
SEAMS = {
    "builder/run.py",
    "builder/venv.py",  # before anything of ours can be imported
    "builder/userns.py",  # a program of its own: it becomes what it is given
    "firstboot/ztgate/run.py",
    "lab/process.py",
    "lab/bench/measure.py",  # a program of its own: it measures what it starts
    "lab/standin/zerotier_one_standin/run.py",
    "lab/isp.py",  # names a type only
    "lab/machine.py",  # names types and exceptions only
    "lab/enrolment.py",  # names a type and an exception only
    "lab/netns.py",  # names a type only
    "lab/userland.py",  # names a type only
}
LONGEST_FILE = 400
LONGEST_FUNCTION = 50


def sources() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [name for name in listed.stdout.split() if (ROOT / name).exists()]


def home(name: str) -> str | None:
    fits = [place for place in MAY_IMPORT if name == place or name.startswith(f"{place}/")]
    return max(fits, key=len) if fits else None


def imports(name: str) -> Iterator[str]:
    for node in ast.walk(ast.parse((ROOT / name).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@pytest.mark.parametrize("name", [name for name in sources() if home(name)])
def test_imports_go_one_way(name: str) -> None:
    place = home(name)
    assert place is not None
    allowed = MAY_IMPORT[place] | EXCEPTIONS.get(name, set())
    used = {module.split(".")[0] for module in imports(name)} & {*OURS, "zerotier_one_standin", "firstboot"}
    assert used <= allowed


@pytest.mark.parametrize("folder", ["builder/stages", "firstboot/ztgate/steps"])
def test_neighbours_do_not_import_each_other(folder: str) -> None:
    package = folder.removeprefix("firstboot/").replace("/", ".")
    for name in sources():
        if name.startswith(f"{folder}/") and not name.endswith("__init__.py"):
            near = [module for module in imports(name) if module.startswith(f"{package}.")]
            assert not near, f"{name} imports {near}"


def test_processes_start_in_one_place() -> None:
    starters = {
        name for name in sources() if "subprocess" in set(imports(name)) and not name.startswith("tests/")
    }
    assert starters <= SEAMS


@pytest.mark.parametrize("name", sources())
def test_nothing_grows_too_long(name: str) -> None:
    text = (ROOT / name).read_text()
    assert len(text.splitlines()) <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            length = node.end_lineno - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"
