"""The ready-made workflows: valid by their schemas, their scripts by shellcheck and our own command line."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import build

ROOT = Path(__file__).resolve().parents[2]
GITHUB = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
GITLAB = ROOT / ".gitlab-ci.yml"
SCHEMAS = {"vendor.github-workflows": GITHUB, "vendor.gitlab-ci": [GITLAB]}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_schema(schema: str, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema]
    done = subprocess.run([*argv, *SCHEMAS[schema]], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    broken = tmp_path / "broken.yml"
    broken.write_text("jobs: 1\nstages: 1\n")
    assert subprocess.run([*argv, broken], capture_output=True).returncode == 1, "it does look"


def scripts() -> Iterator[tuple[str, str]]:
    """Each script of each job, with its place."""
    for path in GITHUB:
        for job, body in yaml.safe_load(path.read_text())["jobs"].items():
            for number, step in enumerate(body["steps"]):
                if "run" in step:
                    yield f"{path.name}:{job}:{number}", re.sub(r"\$\{\{.*?\}\}", "word", step["run"])
    jobs: dict[str, Any] = yaml.safe_load(GITLAB.read_text())
    for job, body in jobs.items():
        if isinstance(body, dict) and "script" in body:
            yield f"{GITLAB.name}:{job}", "\n".join(body["script"])


@pytest.mark.parametrize(("place", "script"), scripts(), ids=[place for place, _ in scripts()])
def test_each_script(place: str, script: str) -> None:
    shell = "sh" if place.startswith(GITLAB.name) else "bash"
    argv = ["shellcheck", f"--shell={shell}", "--exclude=SC2154", "-"]  # the CI sets variables
    done = subprocess.run(argv, input=script, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    for line in script.splitlines():
        if line.startswith("./build.py "):
            build.parse(shlex.split(re.sub(r"\$\{.*?\}", "", line))[1:])  # SystemExit if it is wrong


def test_the_tests_are_the_readmes() -> None:
    readme = (ROOT / "README.md").read_text()
    for text in (GITHUB[1].read_text(), GITLAB.read_text()):
        assert "make test" in text
    assert "\n    make test " in readme
