import os
import signal
import threading
import time
from pathlib import Path

import pytest

from builder.errors import BuildError
from builder.run import CommandError, run
from lab.retry import NotYet, retry

from .conftest import FakeTool


def test_output_is_returned_and_streamed() -> None:
    seen: list[str] = []
    assert run(["sh", "-c", "echo one; echo two >&2"], on_line=seen.append) == "one\ntwo"
    assert seen == ["one", "two"]


def test_a_failure_shows_a_line_to_paste_and_the_last_words() -> None:
    with pytest.raises(CommandError) as e:
        run(["sh", "-c", "for i in $(seq 100); do echo line $i; done; exit 3"])
    assert e.value.status == 3
    first, *rest = e.value.message.splitlines()
    assert first == "sh -c 'for i in $(seq 100); do echo line $i; done; exit 3': exit status 3"
    assert rest[-1] == "    line 100"
    assert len(rest) == 15


def test_a_missing_tool_is_one_error() -> None:
    with pytest.raises(BuildError, match="no-such-tool is not installed") as e:
        run(["no-such-tool"])
    assert "setup" in e.value.hint


def test_the_environment_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("PERL5LIB", "/somewhere")
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    names = dict(line.split("=", 1) for line in run(["env"]).splitlines())
    assert names["LANG"] == "C.UTF-8"
    assert names["TZ"] == "UTC"
    assert not {"LC_ALL", "PERL5LIB"} & set(names)
    assert "/usr/sbin" in names["PATH"].split(":")


def test_stdin_is_closed_or_fed() -> None:
    assert run(["cat"]) == ""
    assert run(["cat"], stdin=b"words") == "words"
    assert run(["true"], stdin=b"x" * 1_000_000) == ""


def test_an_interrupt_ends_the_tool_and_its_children(fake_tool: FakeTool, tmp_path: Path) -> None:
    pid_file = tmp_path / "child"
    fake_tool("long", f"sleep 60 & echo $! > {pid_file}; echo ready; wait")

    def interrupt(line: str) -> None:
        if line == "ready":
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(["long"], on_line=interrupt)
    assert time.monotonic() - began < 5
    retry(lambda: _is_over(int(pid_file.read_text())), 5, "the end of the tool's child", pause=0.05)


def _is_over(pid: int) -> None:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return
    if state not in "ZX":
        raise NotYet(f"process {pid} is in state {state}")


def test_control_c_reaches_a_running_tool() -> None:
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run(["sleep", "60"])
