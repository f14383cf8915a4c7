"""Fake tools on PATH and small trees of files."""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

FakeTool = Callable[[str, str], Path]


@pytest.fixture
def fake_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTool:
    """Put a shell script on PATH under a tool's name; the returned file lists its calls, one a line."""
    directory = tmp_path / "fake-tools"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")

    def make(name: str, script: str = "") -> Path:
        calls = directory / f"{name}.calls"
        calls.touch()
        tool = directory / name
        tool.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n{script}\n')
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
        return calls

    return make


def make_tree(root: Path, files: Mapping[str, str]) -> Path:
    """Files by path and content; a content of `-> target` makes a symbolic link."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith("-> "):
            path.symlink_to(content.removeprefix("-> "))
        else:
            path.write_text(content)
    return root
