"""The token is gone, and the files it was in still mean what they did."""

import base64
import pickle
import re
from pathlib import Path

import pytest
from ztgate import config
from ztgate.errors import ZtgateError
from ztgate.steps import drop_token

from tests.unit.editors import EDITORS

from .support import GOOD, TOKEN, FakeClock, found, machine


def settings(text: str) -> config.Controller:
    return config.load(text, "g").controller


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.replace('"', "'"),
        GOOD.replace('"', ""),
        GOOD.replace("\n", "\r\n"),
        f"network: 116be780b4870839\ncontroller: {{token: {TOKEN}, kind: auto}}\n",
        f"# {TOKEN} is the token\n{GOOD}",
        GOOD.replace(TOKEN, "tok1"),
    ],
)
def test_the_file_stays_valid(tmp_path: Path, text: str) -> None:
    made = machine(tmp_path, text=text)
    before = made.paths.fat_config.read_bytes()
    node = made.paths.fat_config.stat().st_ino
    token = settings(text).token
    assert token and drop_token.run(made, settings(text)) == "discarded"
    after = made.paths.fat_config.read_bytes()
    assert len(after) == len(before) and made.paths.fat_config.stat().st_ino == node, "overwritten in place"
    assert token.reveal().encode() not in after
    assert settings(after.decode()).token is None
    assert drop_token.run(made, settings(after.decode())) == "absent"


@pytest.mark.parametrize("editor", EDITORS)
@pytest.mark.parametrize("token", [TOKEN, "tok1", "a.b*c+d(e)f"])
def test_every_editors_file(tmp_path: Path, editor: str, token: str) -> None:
    made = machine(tmp_path)
    before = EDITORS[editor](f"# {token}\n{GOOD.replace(TOKEN, token)}")
    made.paths.fat_config.write_bytes(before)
    node = made.paths.fat_config.stat().st_ino
    assert drop_token.run(made, found(made).config.controller) == "discarded"
    after = made.paths.fat_config.read_bytes()
    assert len(after) == len(before) and made.paths.fat_config.stat().st_ino == node, "overwritten in place"
    assert token.encode() not in after.replace(b"\0", b"")
    assert after.replace(b"\0", b"").count(drop_token.filler(len(token))) == 2
    assert found(made).config.controller.token is None
    assert drop_token.run(made, found(made).config.controller) == "absent"


def test_other_copies_on_the_card(tmp_path: Path) -> None:
    """A wrong name that was copied instead of renamed, and what Raspberry Pi Imager leaves."""
    made = machine(tmp_path)
    made.paths.cloud_disabled.parent.mkdir(parents=True)
    wrong = made.paths.fat / "Gateway.yaml.txt"
    seed = made.paths.fat / "user-data"
    firmware = made.paths.fat / "start.elf"
    wrong.write_bytes(b"\xff\xfe" + GOOD.encode("utf-16-le"))
    firmware.write_bytes(TOKEN.encode())
    made.paths.baked_config.parent.mkdir(parents=True)
    made.paths.baked_config.write_text("broken: [\n")
    assert drop_token.run(made, settings(GOOD)) == "discarded"
    assert TOKEN.encode() not in wrong.read_bytes().replace(b"\0", b"")
    assert firmware.read_bytes() == TOKEN.encode(), "nothing of ours"
    assert not made.paths.cloud_disabled.exists()
    for order in ("utf-16-le", "utf-16-be"):
        for shift in range(3):
            seed.write_bytes(b"content: " + base64.b64encode(bytes(shift) + GOOD.encode(order)))
            assert drop_token.run(made, settings(GOOD)) == "discarded"
            text = base64.b64decode(seed.read_bytes().removeprefix(b"content: ")).replace(b"\0", b"")
            assert TOKEN[1:-1].encode() not in text and b"network: 116be780b4870839" in text
    assert made.paths.cloud_disabled.exists()


def test_keep(tmp_path: Path) -> None:
    text = GOOD + "  token-after-setup: keep\n"
    made = machine(tmp_path, text=text)
    assert drop_token.run(made, settings(text)) == "kept"
    assert made.paths.fat_config.read_text() == text


def test_copies_of_cloud_init(tmp_path: Path) -> None:
    made = machine(tmp_path, text="")
    made.paths.cloud_config.parent.mkdir(parents=True)
    made.paths.cloud_config.write_text(GOOD)
    cloud = tmp_path / "var/lib/cloud/instance"
    run = tmp_path / "run/cloud-init"
    cloud.mkdir(parents=True)
    run.mkdir(parents=True)
    made.paths.cloud_disabled.parent.mkdir(parents=True)
    (cloud / "user-data.txt").write_text(f"#cloud-config\nwrite_files:\n- content: |\n    {GOOD}")
    (cloud / "obj.pkl").write_bytes(pickle.dumps({"user": GOOD, "other": "kept"}))
    (run / "combined.json").write_bytes(base64.b64encode(b"ab" + GOOD.encode()))
    (cloud / "wrapped").write_bytes(base64.encodebytes(b"x" + GOOD.encode()))
    (tmp_path / "var/log").mkdir()
    (tmp_path / "var/log/cloud-init.log").write_text(f'Failed loading yaml blob:\n    token: "{TOKEN}\n')
    (cloud / "untouched").write_text("nothing here")
    (cloud / "link").symlink_to("/etc/passwd")

    assert drop_token.run(made, settings(GOOD)) == "discarded"
    for path in tmp_path.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            assert TOKEN.encode() not in content, path
            for text in re.findall(rb"[A-Za-z0-9+/\n]{40,}={0,2}", content):
                assert TOKEN[4:-4].encode() not in base64.b64decode(text + b"==="), path
    assert pickle.loads((cloud / "obj.pkl").read_bytes())["other"] == "kept"
    assert made.paths.cloud_disabled.exists(), "the provider would bring it back"


def test_no_cloud_init_no_mark(tmp_path: Path) -> None:
    made = machine(tmp_path)
    made.paths.cloud_disabled.parent.mkdir(parents=True)
    drop_token.run(made, settings(GOOD))
    assert not made.paths.cloud_disabled.exists()


def test_a_token_in_escapes_is_said_to_be_there(tmp_path: Path) -> None:
    text = GOOD.replace(TOKEN, "\\x61bcdefgh")
    with pytest.raises(ZtgateError, match="still in"):
        drop_token.run(machine(tmp_path, text=text), settings(text))


@pytest.mark.parametrize("length", [4, 8, 9, 32, 64])
def test_filler_is_no_token(length: int) -> None:
    text = drop_token.filler(length).decode()
    assert len(text) == length and config.DISCARDED.fullmatch(text)


@pytest.mark.parametrize("finishes", [True, False])
def test_cloud_init_comes_first(tmp_path: Path, finishes: bool) -> None:
    """Its last stage copies the user data again."""
    made = machine(tmp_path)
    made.paths.cloud_begun.parent.mkdir(parents=True)
    made.paths.cloud_begun.touch()
    clock = made.clock
    assert isinstance(clock, FakeClock)
    if finishes:
        clock.at = {60.0: made.paths.cloud_result.touch}
    assert drop_token.run(made, settings(GOOD)) == "discarded"
    assert (20 < clock.time - 40 < 30) if finishes else (clock.time - 40 >= drop_token.PATIENCE)
