"""The real command line with a token from each source: no program that it starts sees it, nothing prints it.

An audit hook of Python's (sys.addaudithook), put in by a sitecustomize.py, writes down each program that is
started, with its arguments and its environment.
"""

import base64
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builder import venv

from .conftest import FakeTool
from .test_gateway_config import content, make_image

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "Qm7tWx3vBn9kLp2sRd5fGh8jKz4cYe6u"
PASSWORD = "correct9horse"
NET = "network: 8056c2e21c000001\n"
WIFI = f'wifi: {{ssid: attic, password: "{PASSWORD}", country: DE}}\n'
HOOK = """\
import os, sys
STARTS = {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.system"}
LOG = os.environ["AUDIT"]
def note(event, words):
    if event in STARTS:  # the environment comes last; None: our own
        with open(LOG, "a") as log:
            log.write(repr((event, words, dict(os.environ) if words[-1] is None else ())) + "\\n")
sys.addaudithook(note)
"""


@dataclass
class Told:
    """One run, and all that was seen of it."""

    status: int
    said: str
    started: list[str]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    if shutil.which("mformat") is None:
        pytest.skip("mtools is not installed")
    return make_image(tmp_path / "x.img")


@dataclass
class Desk:
    """A directory to work in, and a home for temporary files."""

    path: Path

    def environment(self, token: str = "") -> dict[str, str]:
        given = {"ZTGATE_TOKEN": token} if token else {}
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        places = {"TMPDIR": self.path / "tmp", "AUDIT": self.path / "audit", "PYTHONPATH": self.path / "hook"}
        return {**kept, **{name: str(place) for name, place in places.items()}, **given}

    def argv(self, *words: str | Path) -> list[str]:
        return [sys.executable, str(ROOT / "build.py"), *map(str, words)]

    def run(self, *words: str | Path, token: str = "") -> Told:
        done = subprocess.run(
            self.argv(*words), env=self.environment(token), capture_output=True, text=True, cwd=self.path
        )
        return Told(
            done.returncode, done.stdout + done.stderr, (self.path / "audit").read_text().splitlines()
        )

    def write(self, name: str, text: str) -> Path:
        (self.path / name).write_text(text)
        return self.path / name


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    for name in ("tmp", "hook"):
        (tmp_path / name).mkdir()
    (tmp_path / "audit").touch()
    (tmp_path / "hook/sitecustomize.py").write_text(HOOK)
    return Desk(tmp_path)


def leaks(text: str) -> bool:
    forms = [form for word in (TOKEN, PASSWORD) for form in (word, base64.b64encode(word.encode()).decode())]
    return any(form in text for form in forms)


def check(told: Told, desk: Desk, meant: set[str]) -> None:
    """Nothing that was said or started has a secret; on disk it is only where it is meant to be."""
    assert not leaks(told.said)
    assert told.started and not [line for line in told.started if leaks(line)]
    assert list((desk.path / "tmp").iterdir()) == []
    holders = {
        str(path.relative_to(desk.path)) for path in desk.path.rglob("*") if path.is_file() and holds(path)
    }
    assert holders == meant


def holds(path: Path) -> bool:
    raw = path.read_bytes()
    return TOKEN.encode() in raw or PASSWORD.encode() in raw


Source = Callable[[Desk], tuple[Path, str, set[str]]]


def in_the_file(desk: Desk) -> tuple[Path, str, set[str]]:
    return desk.write("gateway.yaml", f"{NET}controller: {{token: {TOKEN}}}\n{WIFI}"), "", {"gateway.yaml"}


def in_a_token_file(desk: Desk) -> tuple[Path, str, set[str]]:
    desk.write("secret", f"{TOKEN}\n")
    return desk.write("gateway.yaml", f"{NET}controller: {{token-file: secret}}\n"), "", {"secret"}


def in_the_environment(desk: Desk) -> tuple[Path, str, set[str]]:
    return desk.write("gateway.yaml", NET), TOKEN, set()


SOURCES: list[Source] = [in_the_file, in_a_token_file, in_the_environment]


@pytest.mark.parametrize("source", SOURCES)
def test_configure(desk: Desk, image: Path, source: Source) -> None:
    config, token, beside = source(desk)
    told = desk.run("configure", image, "--config", config, token=token)
    assert told.status == 0, told.said
    assert TOKEN in content(image) and image.stat().st_mode & 0o777 == 0o600
    check(told, desk, beside | {"x.img"})
    assert any("mcopy" in line for line in told.started), "the hook does see what is started"


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("kind", ["csv", "yaml"])
def test_configure_batch(desk: Desk, image: Path, source: Source, kind: str) -> None:
    config, token, beside = source(desk)
    said = config.read_text()
    config.unlink()
    if kind == "yaml":
        batch = desk.write(
            "b.yaml", "gateways:\n- file: a\n" + "".join(f"  {line}\n" for line in said.splitlines())
        )
    else:
        key = "token-file" if "token-file" in said else "token"
        cell = {"token-file": "secret", "token": "" if token else TOKEN}[key]
        batch = desk.write("b.csv", f"file,network,controller.{key}\na,8056c2e21c000001,{cell}\n")
    told = desk.run("configure", image, "--batch", batch, "--out", desk.path / "o", "--json", token=token)
    assert told.status == 0, told.said
    assert TOKEN in content(desk.path / "o/a.img")
    check(told, desk, {batch.name if name == "gateway.yaml" else name for name in beside} | {"o/a.img"})
    assert (desk.path / "o/receipts.json").stat().st_mode & 0o777 == 0o600


# What goes wrong when a token is at hand: a gateway.yaml, and what the error has to say.
WRONG = [
    (f"network: 1\ncontroller: {{token: {TOKEN}}}\n", "network: `1` has 1 characters"),
    (f"network: {TOKEN}\n", "network: the value has 32 characters"),
    (f"{NET}controller: {{token-file: {TOKEN}}}\n", "controller.token-file: there is no such file"),
    (f"{NET}controller: {{token: [{TOKEN}\n", "broken YAML"),
    (f"{NET}controller: {{url: 'https://me:{TOKEN}@c.lab'}}\n", "controller.url: the value is not a URL"),
    (f"{NET}{WIFI}wifi: {{}}\n", "wifi: given twice"),
]


@pytest.mark.parametrize(("text", "words"), WRONG)
def test_errors(desk: Desk, image: Path, text: str, words: str) -> None:
    told = desk.run("configure", image, "--config", desk.write("gateway.yaml", text), token=TOKEN)
    assert told.status == 1 and words in told.said
    assert not leaks(told.said) and not any(leaks(line) for line in told.started)
    places = ("--zerotier", "/no.deb", "--cache", desk.path / "c", "--out", desk.path / "o")
    verb = ("build", "vps-amd64", "--config", desk.path / "gateway.yaml", "--debug", "--json")
    told = desk.run(*verb, *places, token=TOKEN)
    assert told.status == 1 and not leaks(told.said)


def test_a_batch_without_its_header(desk: Desk, image: Path) -> None:
    told = desk.run("configure", image, "--batch", desk.write("b.csv", f"{TOKEN},a\n{TOKEN},b\n"))
    assert told.status == 1 and "b.csv:1: no header" in told.said and not leaks(told.said)


def test_a_tool_that_fails(desk: Desk, image: Path, fake_tool: FakeTool) -> None:
    fake_tool("mcopy", 'cat > /dev/null; echo "Disk full"; exit 1')
    config, token, _ = in_the_environment(desk)
    told = desk.run("configure", image, "--config", config, token=token)
    assert told.status == 1 and "Disk full" in told.said
    check(told, desk, set())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_killed_in_between(desk: Desk, image: Path, fake_tool: FakeTool, number: signal.Signals) -> None:
    """While mcopy has it: there is no file that could stay behind."""
    reached = desk.path / "reached"
    os.mkfifo(reached)
    fake_tool("mcopy", f"cat > /dev/null; echo $$ > {reached}; exec sleep 60")
    config, token, _ = in_the_environment(desk)
    run = subprocess.Popen(
        desk.argv("configure", image, "--config", config),
        env=desk.environment(token), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    mcopy = int(reached.read_text())
    run.send_signal(number)
    said = run.communicate(timeout=30)[0]
    assert run.returncode == {signal.SIGINT: 130, signal.SIGKILL: -9}.get(number, 128 + number)
    if number == signal.SIGKILL:
        os.kill(mcopy, number)
    reached.unlink()
    check(Told(run.returncode, said, (desk.path / "audit").read_text().splitlines()), desk, set())


def test_other_verbs_hand_it_to_nobody(desk: Desk) -> None:
    """What runs the user's own program, or the lab."""
    told = desk.run("run", "env", token=TOKEN)
    assert told.status == 0 and "VIRTUAL_ENV" in told.said and not leaks(told.said)
    assert not any(leaks(line) for line in told.started)


def test_pip_is_not_given_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZTGATE_TOKEN", TOKEN)
    monkeypatch.setenv("PIP_RETRIES", "3")
    seen: list[tuple[str | None, str | None]] = []

    def run(*_: Any, env: dict[str, str], **more: Any) -> subprocess.CompletedProcess[str]:
        seen.append((env.get("ZTGATE_TOKEN"), env.get("PIP_RETRIES")))
        return subprocess.CompletedProcess([], 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    for name in venv.REQUIREMENTS:
        (tmp_path / name).write_text("# nothing\n")
    (tmp_path / ".venv").mkdir()
    venv.ensure(tmp_path, print)
    assert set(seen) == {(None, "3")}
