"""The servers as processes, as the lab starts them inside a network namespace."""

import http.client
import json
import sys
from pathlib import Path

import pytest

from lab import central, echo, ntp, process, tls
from lab.httpd import HttpServer, Reply, Request
from lab.retry import NotYet, retry


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("central")
    tls.make(directory, ["controller.lab"])
    (directory / "token").write_text("an-api-token")
    return directory


def central_arguments(files: Path) -> list[str]:
    return [
        "--certificate", str(files / "server.pem"), "--key", str(files / "server.key"),
        "--controller", "http://127.0.0.1:9", "--controller-token-file", str(files / "token"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["echo", "ntp", "central", "passthrough"])
def test_a_server_says_only_that_it_is_ready(name: str, files: Path, tmp_path: Path) -> None:
    module = "central" if name == "passthrough" else name
    mode = ["--passthrough"] if name == "passthrough" else ["--token-file", str(files / "token")]
    more = [*mode, *central_arguments(files)] if module == "central" else []
    said = tmp_path / "output"
    command = [sys.executable, "-m", f"lab.{module}", "--port", "0", "--log", str(tmp_path / "log"), *more]
    server = process.start(command, said)
    try:
        retry(lambda: ready(said), 20, name, pause=0.05)
    finally:
        process.stop(server)
    lines = said.read_text().splitlines()[1:]  # the first one is the command
    assert len(lines) == 1
    assert lines[0].startswith(f"ready {module} port=")
    assert (tmp_path / "log").read_text() == ""


def ready(said: Path) -> None:
    if "\nready" not in said.read_text():
        raise NotYet("no ready line")


def test_a_port_that_is_taken_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with HttpServer(echo.answer) as other, ntp.NtpServer(0) as clock:
        assert echo.main(["--port", str(other.port)]) == 1
        assert ntp.main(["--port", str(clock.port)]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"cannot listen on TCP port {other.port}: Address already in use"
    assert second == f"cannot listen on UDP port {clock.port}: Address already in use"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--token-file", "/nowhere"], "/nowhere"),
        (["--passthrough", "--key", "/nowhere"], "cannot read"),
        (["--passthrough", "--controller", "localhost:9993"], "not a daemon's address"),
    ],
)
def test_bad_arguments_are_said(
    change: list[str], said: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert central.main([*central_arguments(files), *change]) == 1
    assert said in capsys.readouterr().err


def test_a_fault_of_the_servers_own_is_a_500(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def broken(_: Request) -> Reply:
        raise ZeroDivisionError

    with HttpServer(broken, log=tmp_path / "log") as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        client.request("GET", "/")
        assert client.getresponse().status == 500
        client.close()
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert json.loads((tmp_path / "log").read_text())["status"] == 500
