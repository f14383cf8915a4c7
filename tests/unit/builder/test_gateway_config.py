"""gateway.yaml: the token is filled in where it belongs, and the file lands whole on the FAT partition."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
import yaml

from builder import gateway_config
from builder.errors import BuildError
from builder.gateway_config import configure, with_token, without_controller
from builder.run import run
from tests.unit.editors import EDITORS

TOKEN = "abcdefghijklmnop0123"
VALID = f"network: 8056c2e21c000001\ncontroller:\n  token: {TOKEN}\n"
OFFSET = 2 << 20


@pytest.fixture(autouse=True)
def no_token_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZTGATE_TOKEN", raising=False)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("network: 1\n", 'network: 1\ncontroller:\n  token: "T"\n'),
        ("network: 1", 'network: 1\ncontroller:\n  token: "T"\n'),
        ("controller:\nnetwork: 1\n", 'controller: {token: "T"}\nnetwork: 1\n'),
        ("controller: {}\nnetwork: 1\n", 'controller: {token: "T"}\nnetwork: 1\n'),
        ("controller: {kind: auto}\n", 'controller: {token: "T", kind: auto}\n'),
        (
            "controller:\n    kind: auto  # yes\n    url: x\n",
            'controller:\n    token: "T"\n    kind: auto  # yes\n    url: x\n',
        ),
        ('controller:\n  token: ""   # here\n', 'controller:\n  token: "T"   # here\n'),
        ("controller:\n  token: null\n  kind: auto\n", 'controller:\n  token: "T"\n  kind: auto\n'),
        ("controller:\n  token: mine\n", "controller:\n  token: mine\n"),
        ("controller: {kind: none}\nnetwork: 1\n", "controller: {kind: none}\nnetwork: 1\n"),
        ("- no mapping\n", "- no mapping\n"),
        ("broken: [\n", "broken: [\n"),
    ],
)
def test_the_token_of_the_environment(before: str, after: str) -> None:
    assert with_token(before, Path(), "T") == after
    assert with_token(before, Path(), "") == before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("controller:\n  token: T\n  # more\nnetwork: 1  # x\n", "C\nnetwork: 1  # x\n"),
        ("network: 1\ncontroller: {token: T}  # x\nwifi: {}\n", "network: 1\nC  # x\nwifi: {}\n"),
        ("network: 1\ncontroller:\n  token: T", "network: 1\nC\n"),
        ("{network: 1, controller: {token: T}, wifi: {}}", "{network: 1, C, wifi: {}}"),
    ],
)
def test_without_the_controller(before: str, after: str) -> None:
    assert without_controller(before) == after.replace("C", "controller: {kind: none}")


@pytest.mark.parametrize(
    "text",
    [
        "controller:\n  kind: auto\n  token-file: secret  # not here\n  url: x\n",
        "controller: {kind: auto, token-file: secret, url: x}\n",
        "controller:\n  token: null\n  token-file: secret\n  kind: auto\n  url: x\n",
        "controller:\n  token-file: secret\n  token: ''\n  kind: auto\n  url: x\n",
    ],
)
def test_the_token_of_a_file_beside_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret").write_text(f"{TOKEN}\n")
    done = with_token(text, tmp_path, "of the environment")
    assert yaml.safe_load(done) == {"controller": {"kind": "auto", "token": TOKEN, "url": "x"}}


@pytest.mark.parametrize(
    ("content", "message"), [(None, "No such file"), ("", "one token"), ("two words", "one token")]
)
def test_a_token_file_that_has_none(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "secret").write_text(content)
    with pytest.raises(BuildError, match=f"controller.token-file: .*secret: {message}"):
        with_token("controller: {token-file: secret}", tmp_path, "")


def make_image(path: Path, label: str = "ZTGATE") -> Path:
    """An MBR and a FAT32 partition, by mtools."""
    sectors = 34 * 2048  # FAT32 needs more than 65525 clusters
    with path.open("wb") as f:
        f.write(
            bytes(446) + struct.pack("<B3xB3xII", 0, 0x0C, OFFSET // 512, sectors) + bytes(48) + b"\x55\xaa"
        )
        f.truncate(OFFSET + sectors * 512)
    drive = f"{path}@@{OFFSET}"
    subprocess.run(
        [
            "mformat",
            "-F",
            "-c",
            "1",
            "-T",
            str(sectors),
            "-h",
            "255",
            "-s",
            "63",
            "-v",
            label,
            "-i",
            drive,
            "::",
        ],
        check=True,
    )
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    if shutil.which("mformat") is None:
        pytest.skip("mtools is not installed")
    return make_image(tmp_path / "x.img")


def content(image: Path, name: str = "gateway.yaml") -> str:
    command = ["mtype", "-i", f"{image}@@{OFFSET}", f"::{name}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def listing(image: Path) -> list[str]:
    command = ["mdir", "-b", "-i", f"{image}@@{OFFSET}", "::"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def put(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(text)
    return path


def test_an_image_is_configured(image: Path, tmp_path: Path) -> None:
    configure(image, put(tmp_path, VALID))
    assert content(image) == VALID
    assert listing(image) == ["::/gateway.yaml"]
    assert image.stat().st_mode & 0o777 == 0o600


def test_an_older_token_is_nowhere_on_it(image: Path, tmp_path: Path) -> None:
    configure(image, put(tmp_path, VALID))
    assert TOKEN.encode() in image.read_bytes()
    configure(image, put(tmp_path, VALID.replace(TOKEN, "another-token-0001")))
    assert TOKEN.encode() not in image.read_bytes()
    assert "another-token-0001" in content(image)


def test_nor_is_that_of_a_run_that_was_killed(image: Path, tmp_path: Path) -> None:
    (tmp_path / "half").write_text(VALID)
    run(["mcopy", "-i", f"{image}@@{OFFSET}", tmp_path / "half", f"::{gateway_config.UNFINISHED}"])
    configure(image, put(tmp_path, "network: 8056c2e21c000001\n" + "# long\n" * 1000))
    assert TOKEN.encode() not in image.read_bytes()
    assert listing(image) == ["::/gateway.yaml"]


def test_a_token_from_the_environment(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZTGATE_TOKEN", TOKEN)
    configure(image, put(tmp_path, "# mine\nnetwork: 8056c2e21c000001\n"))
    assert content(image) == f'# mine\nnetwork: 8056c2e21c000001\ncontroller:\n  token: "{TOKEN}"\n'
    configure(image, put(tmp_path, "{network: 8056c2e21c000001}\n"))
    assert content(image) == f'{{controller: {{token: "{TOKEN}"}}, network: 8056c2e21c000001}}\n'


@pytest.mark.parametrize("editor", EDITORS)
def test_every_editors_file_is_plain_text_on_the_image(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, editor: str
) -> None:
    monkeypatch.setenv("ZTGATE_TOKEN", TOKEN)
    text = "# mine\nnetwork:\t8056c2e21c000001\t# tabs\n\t\ncontroller:\n  token: ''  # mine\n"
    (tmp_path / "gateway.yaml").write_bytes(EDITORS[editor](text))
    configure(image, tmp_path / "gateway.yaml")
    assert text.replace("''", f'"{TOKEN}"').rstrip() in content(image)


@pytest.mark.parametrize("editor", [name for name in EDITORS if name != "Latin-1"])  # which has a comment
def test_the_token_file_of_any_editor(tmp_path: Path, editor: str) -> None:
    (tmp_path / "secret").write_bytes(EDITORS[editor](f"{TOKEN}\n"))
    assert f'token: "{TOKEN}"' in with_token("controller: {token-file: secret}", tmp_path, "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("network: 8056c2e21c00001\n", "gateway.yaml:1: network"),
        ("network: 8056c2e21c000001\nipv7: {}\n", "ipv7"),
        ("network: [\n", "gateway.yaml:1:"),
        ("", "gateway.yaml"),
        ("# mine\rnetwork: \u201c8056c2e21c000001\u201d\r", "gateway.yaml:2: typographic quotes"),
        ("network: 8056c2e21c000001\n\0", "gateway.yaml:2: not a text file: NUL"),
    ],
)
def test_an_invalid_configuration_changes_nothing(
    image: Path, tmp_path: Path, text: str, message: str
) -> None:
    before = image.read_bytes()
    with pytest.raises(BuildError) as e:
        configure(image, put(tmp_path, text))
    assert message in e.value.message
    assert image.read_bytes() == before
    assert image.stat().st_mode & 0o077


def test_a_failing_write_leaves_the_old_configuration(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(image, put(tmp_path, VALID))

    def fail(argv: list[str], **more: object) -> str:
        if argv[0] == "mcopy":
            raise BuildError("mcopy: killed")
        return run(argv)

    monkeypatch.setattr(gateway_config, "run", fail)
    with pytest.raises(BuildError, match="killed"):
        configure(image, put(tmp_path, VALID + "# new\n"))
    assert content(image) == VALID


def test_what_is_no_image_of_ours(tmp_path: Path) -> None:
    config = put(tmp_path, VALID)
    (tmp_path / "text.img").write_text("no image" * 1000)
    (tmp_path / "empty.img").touch()
    cases = {
        "missing.img": "there is no such file",
        "text.img": "no ztgate image",
        "empty.img": "no ztgate image",
    }
    if shutil.which("mformat"):
        make_image(tmp_path / "other.img", "BOOTFS")
        cases["other.img"] = "no ztgate image: it has no FAT partition labelled ZTGATE"
    for name, message in cases.items():
        with pytest.raises(BuildError, match=message) as e:
            configure(tmp_path / name, config)
        assert e.value.hint


def test_no_configuration(image: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="there is no such file"):
        configure(image, tmp_path / "gateway.yml")


def test_no_mtools(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_config, "which", lambda _: None)
    with pytest.raises(BuildError, match="mshowfat is not installed") as e:
        configure(image, put(tmp_path, VALID))
    assert "setup" in e.value.hint
