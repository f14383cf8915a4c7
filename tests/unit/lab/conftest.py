from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.central_upstream import Upstream
from lab.httpd import HttpServer
from tests.unit.lab.fakes import DAEMON_TOKEN, NWID, FakeController


@pytest.fixture
def controller() -> FakeController:
    fake = FakeController()
    fake.answer("POST", f"/controller/network/{NWID}", {"name": "old"})
    return fake


@pytest.fixture
def upstream(controller: FakeController, tmp_path: Path) -> Iterator[Upstream]:
    (tmp_path / "authtoken.secret").write_text(f"{DAEMON_TOKEN}\n")
    with HttpServer(controller) as server:
        yield Upstream(f"http://127.0.0.1:{server.port}", tmp_path / "authtoken.secret")
