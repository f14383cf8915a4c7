"""The page over WSGI: every state in valid HTML, and nothing for who asks for something else."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import html5lib
import pytest
from ztgate import kit
from ztgate.page import app, facts
from ztgate.page.facts import Examination, Member, Verdict

from . import scenes
from .scenes import ME, NOW, SCENES, WELL, WORKING

EVIL = "<script>alert(1)</script>\"'&{{7*7}}"


def ask(
    folder: Path, path: str = "/", method: str = "GET", host: str = "10.66.0.1", client: str = ME
) -> tuple[str, dict[str, str], str]:
    """Status, headers and body."""
    told: list[Any] = []
    environ: Any = {"REQUEST_METHOD": method, "PATH_INFO": path, "HTTP_HOST": host, "REMOTE_ADDR": client}

    def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> Any:
        told.extend((status, dict(headers)))

    body = b"".join(app.App(folder, lambda: NOW)(environ, start_response))
    return told[0], told[1], body.decode()


@pytest.mark.parametrize("scene", SCENES)
def test_each_state_is_valid_html(tmp_path: Path, scene: str) -> None:
    scenes.write(tmp_path, scene)
    status, headers, body = ask(tmp_path)
    assert status == "200 OK" and headers["Content-Type"] == "text/html; charset=utf-8"
    html5lib.HTMLParser(strict=True).parse(body)
    assert "home-gateway" in body or scene == "nothing-known"
    assert "http://" not in body.replace(scenes.PAGE, "").replace("http://www.w3.org/", ""), (
        "nothing from elsewhere"
    )
    assert "https://" not in body


def test_without_anything_it_still_answers(tmp_path: Path) -> None:
    assert "Not known yet" in ask(tmp_path)[2]
    assert ask(tmp_path, "/metrics")[0] == "200 OK"


def test_hostile_words_stay_words(tmp_path: Path) -> None:
    scenes.write(tmp_path, "working")
    status = {
        **scenes.STATUS,
        "warnings": [EVIL],
        "todo": [EVIL],
        "version": EVIL,
        "ipv6": "none",
        "ipv6_reason": EVIL,
    }
    member = Member(EVIL, EVIL, (ME,), True)
    known = replace(WORKING, name=EVIL, network=EVIL, members=(member,), status=status)
    (tmp_path / facts.FACTS).write_bytes(facts.dump(known))
    (tmp_path / facts.DOCTOR).write_bytes(facts.dump(Examination(NOW, (Verdict(EVIL, False, EVIL, EVIL),))))
    body = ask(tmp_path)[2]
    html5lib.HTMLParser(strict=True).parse(body)
    assert "<script>alert" not in body and "49" not in body
    assert body.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 10


HOSTS = {
    "10.66.0.1": True,
    "10.66.0.1:80": True,
    "[fd80:56c2:e21c:0:199:9311:6be7:80b4]": True,
    "[fd80::1]:80": True,
    "localhost": True,
    "localhost:8080": True,
    "gateway.home.arpa": True,
    "GATEWAY.home.arpa.": True,
    "attacker.example": False,
    "10.66.0.1.attacker.example": False,
    "localhost.attacker.example": False,
    "": False,
    "[": False,
    "10.66.0.1@attacker.example": False,
}


@pytest.mark.parametrize(("host", "accepted"), HOSTS.items())
def test_only_our_own_host_is_answered_for(tmp_path: Path, host: str, accepted: bool) -> None:
    scenes.write(tmp_path, "working")
    known = replace(WORKING, hosts=("gateway.home.arpa",))
    (tmp_path / facts.FACTS).write_bytes(facts.dump(known))
    assert (ask(tmp_path, host=host)[0] == "200 OK") is accepted
    assert accepted or ask(tmp_path, host=host)[0].startswith("421")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get", ""])
def test_there_is_nothing_to_change(tmp_path: Path, method: str) -> None:
    status, headers, _ = ask(tmp_path, method=method)
    assert status == "405 Method Not Allowed" and headers["Allow"] == "GET, HEAD"


NOWHERE = (
    "", "/index.html", "/facts.json", "/doctor.json", "/kit", "/kit/phones.txt", "/revision",
    "/../facts.json", "/kit/../facts.json", "/page.html.j2", "//", "/phones.txt/",
    "/%2e%2e/facts.json", "/\0", "/METRICS",
)  # fmt: skip


@pytest.mark.parametrize("path", NOWHERE)
def test_other_paths_do_not_exist(tmp_path: Path, path: str) -> None:
    scenes.write(tmp_path, "working")
    assert ask(tmp_path, path)[0] == "404 Not Found"


PATHS = {
    "/": "text/html; charset=utf-8",
    "/metrics": "text/plain; version=0.0.4; charset=utf-8",
    "/style.css": "text/css; charset=utf-8",
    "/live.js": "text/javascript; charset=utf-8",
    "/icon.svg": "image/svg+xml",
    **{f"/{name}": "text/plain; charset=utf-8" for name in kit.FILES},
}


@pytest.mark.parametrize(("path", "kind"), PATHS.items())
def test_paths(tmp_path: Path, path: str, kind: str) -> None:
    scenes.write(tmp_path, "working")
    status, headers, body = ask(tmp_path, path)
    assert (status, headers["Content-Type"]) == ("200 OK", kind)
    assert int(headers["Content-Length"]) == len(body.encode()) > 0
    assert ask(tmp_path, path, "HEAD") == (status, headers, "")


@pytest.mark.parametrize(
    ("path", "method"), [("/", "GET"), ("/metrics", "HEAD"), ("/x", "GET"), ("/", "POST")]
)
def test_headers_of_every_answer(tmp_path: Path, path: str, method: str) -> None:
    headers = ask(tmp_path, path, method)[1]
    assert headers["Cache-Control"] == "no-store" and headers["X-Content-Type-Options"] == "nosniff"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy


def test_the_kit_has_a_command_for_each_script(tmp_path: Path) -> None:
    scenes.write(tmp_path, "working")
    (tmp_path / facts.KIT / "join.sh").write_text("x")
    (tmp_path / facts.KIT / "later.sh").write_text("x")
    body = ask(tmp_path)[2]
    assert f"curl -fsSO {scenes.PAGE}join.sh &amp;&amp; sudo sh join.sh" in body
    assert f"curl -fsSO {scenes.PAGE}later.sh" in body
    assert 'href="/phones.txt"' in body


def test_stale_verdicts_say_so(tmp_path: Path) -> None:
    scenes.write(tmp_path, "working")
    (tmp_path / facts.DOCTOR).write_bytes(facts.dump(replace(WELL, at=NOW - 600)))
    assert "These verdicts are old: 10 minutes ago" in ask(tmp_path)[2]
