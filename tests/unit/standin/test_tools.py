"""Identities, moons, files and the two command line tools."""

import json
import threading
from pathlib import Path

import pytest

from lab.standin.zerotier_one_standin import cli, client, identity, idtool, minihttp, wire, world
from lab.standin.zerotier_one_standin.home import Home, NetworkSettings, parse_settings
from lab.standin.zerotier_one_standin.main import main
from lab.standin.zerotier_one_standin.minihttp import Request, Response
from lab.standin.zerotier_one_standin.schedule import Schedule


def test_identities() -> None:
    own = identity.generate()
    assert own.valid
    assert own.address_text[:2] not in ("00", "ff")
    assert identity.parse(own.secret_text + "\n") == own
    public = identity.parse(own.public_text)
    assert public is not None
    assert public.secret is None
    assert public.valid
    assert not identity.Identity(own.address ^ 1, own.public, own.secret).valid
    for text in ("", "x", own.public_text[:-1], own.public_text.replace(":0:", ":1:")):
        assert identity.parse(text) is None


def test_the_home_directory(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    own = home.identity()
    assert home.identity() == own
    assert (home.path / "identity.secret").stat().st_mode & 0o777 == 0o600
    assert (home.path / "identity.public").read_text() == own.public_text
    token = home.token("authtoken.secret")
    assert len(token) == 24
    home.write("authtoken.secret", "given\n", 0o600)
    assert home.token("authtoken.secret") == "given"
    home.write("devicemap", "8056c2e21c000001=ztgw0\nrubbish\n")
    assert home.device_name(0x8056C2E21C000001) == "ztgw0"
    assert home.device_name(0x8056C2E21C000002) == ""
    (home.path / "networks.d/8056c2e21c000001.conf").touch()
    (home.path / "networks.d/8056c2e21c000001.local.conf").touch()
    assert home.networks() == [0x8056C2E21C000001]
    assert home.network_config(0x8056C2E21C000001) == {}
    home.write("local.conf", "{broken")
    assert home.local_conf() == {}


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("", NetworkSettings()),
        (
            "allowManaged=1\nallowGlobal=1\nallowDefault=1\nallowDNS=1\n",
            NetworkSettings(True, True, True, True),
        ),
        ("allowManaged=0\n", NetworkSettings(False)),
        ("allowManaged=true\nallowGlobal=t\n", NetworkSettings(True, True)),
        (
            "allowManaged=10.66.0.0/24,10.67.0.0/24\n",
            NetworkSettings(managed_whitelist=("10.66.0.0/24", "10.67.0.0/24")),
        ),
    ],
)
def test_local_settings(text: str, settings: NetworkSettings) -> None:
    assert parse_settings(text) == settings


def test_a_change_of_settings_loses_the_list() -> None:
    before = NetworkSettings(managed_whitelist=("10.66.0.0/24",))
    assert before.changed({"allowGlobal": True}) == NetworkSettings(True, True)


def test_idtool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert idtool.main(["generate", "identity.secret", "identity.public"]) == 0
    assert Path("identity.secret").stat().st_mode & 0o777 == 0o600
    assert idtool.main(["validate", "identity.secret"]) == 0
    capsys.readouterr()
    assert idtool.main(["getpublic", "identity.secret"]) == 0
    public = capsys.readouterr().out
    assert public == Path("identity.public").read_text()
    assert idtool.main(["initmoon", "identity.public"]) == 0
    moon = json.loads(capsys.readouterr().out)
    assert moon["id"] == public[:10]
    assert moon["roots"] == [{"identity": public, "stableEndpoints": []}]
    moon["roots"][0]["stableEndpoints"] = ["203.0.1.10/9993", "2600:db8:0:1::10/9993"]
    Path("moon.json").write_text(json.dumps(moon))
    assert idtool.main(["genmoon", "moon.json"]) == 0
    name = f"000000{public[:10]}.moon"
    assert f"wrote {name}" in capsys.readouterr().out
    written = Path(name).read_text()
    assert "signingKey_SECRET" not in written
    found = world.parse(written)
    assert found is not None
    assert found.file_name == name
    assert [str(each) for each in found.roots[0].endpoints] == moon["roots"][0]["stableEndpoints"]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["generate", "nowhere/identity.secret"],
        ["validate"],
        ["validate", "nonsense"],
        ["genmoon", "missing.json"],
        ["unknown", "x"],
    ],
)
def test_idtool_refuses(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert idtool.main(words) == 1


def test_worlds_that_are_none() -> None:
    for text in ("", "{}", "[]", '{"id": "x"}', "\x01\x7f binary"):
        assert world.parse(text) is None


def test_names_and_switches(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["zerotier-one", "-v"], ["/x/zerotier-cli", "-v"], ["zerotier-one", "-q", "-v"]):
        assert main(argv) == 0
        assert capsys.readouterr().out == "1.14.1\n"
    for argv in (["zerotier-one", "-h"], ["zerotier-cli", "-h"], ["zerotier-idtool"], ["zerotier-one", "-i"]):
        main(argv)
        assert "NOT ZeroTier" in capsys.readouterr().out


def test_cli_without_a_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([f"-D{tmp_path}", "info"]) == 2
    assert "zerotier-one.port not found" in capsys.readouterr().err
    (tmp_path / "zerotier-one.port").write_text("1")
    (tmp_path / "authtoken.secret").write_text("x")
    assert cli.main([f"-D{tmp_path}", "info"]) == 1
    assert "Error connecting to the ZeroTier service" in capsys.readouterr().out


def test_http_there_and_back() -> None:
    asked: list[Request] = []

    def handler(request: Request) -> Response:
        asked.append(request)
        return Response(404, '{"a": "ü"}')

    listeners = minihttp.serve(0, handler)
    try:
        port = listeners[0].getsockname()[1]
        status, body = client.call("127.0.0.1", port, "POST", "/a/b?c=d%20e", "secret", "x" * 100_000)
    finally:
        for listener in listeners:
            listener.close()
    assert (status, body) == (404, '{"a": "ü"}')
    (request,) = asked
    assert request[:3] == ("POST", "/a/b", {"c": "d e"})
    assert request.headers["x-zt1-auth"] == "secret"
    assert len(request.body) == 100_000
    assert request.remote.is_loopback


def test_messages() -> None:
    data = wire.message(1, 2, {"k": "x"})
    assert wire.header(wire.relayed(data)) == wire.Header(wire.VERB_MESSAGE, 1, 1, 2)
    assert wire.content(data) == {"k": "x"}
    assert wire.content(data[:-1]) == {}
    assert wire.header(b"\xa2" + data[1:]) is None


def test_a_schedule_runs_what_is_due() -> None:
    ran = threading.Event()
    schedule = Schedule([(1000.0, ran.set)])
    assert schedule.pause() == 0
    schedule.run_due()
    assert ran.is_set()
    assert 999 < schedule.pause() <= 1000
