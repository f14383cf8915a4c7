"""gateway.yaml as people's editors leave it on the card, and what the status on the card says to it."""

import re
from pathlib import Path

import pytest
from ztgate import config, configfile, report, service, tell
from ztgate.errors import WaitingError
from ztgate.machine import Machine
from ztgate.secret import Secret

from tests.unit.editors import EDITORS

from .support import GOOD, NETWORK, TOKEN, FakeController, found, machine, with_console
from .test_config import KEY

CARD = Path(__file__).resolve().parents[3] / "overlays/common/boot/firmware"
EXAMPLE = (CARD / "gateway.yaml.example").read_bytes()
NET = f"network: {NETWORK}\n"

SECRET = "kD7fQ2mXw9RbT4uYc6Lp"


def put(made: Machine, content: bytes) -> None:
    made.paths.fat_config.write_bytes(content)


def shown(tmp_path: Path, content: bytes) -> tuple[str, str]:
    """What ztgate-status.txt and a console say after a try."""
    made = machine(tmp_path, text="")
    put(made, content)
    console = with_console(made)
    assert service.apply(made, once=True) != service.READY
    status = made.paths.status_text.read_bytes().decode()
    assert "\n" not in status.replace("\r\n", ""), "for old Windows"
    lines = [line for line in console.read_text().splitlines() if line]
    assert len(lines) == 1, "one line, whatever is wrong"
    return status, lines[0]


@pytest.mark.parametrize("editor", EDITORS)
def test_every_editors_file_is_read(tmp_path: Path, editor: str) -> None:
    made = machine(tmp_path)
    put(made, EDITORS[editor](f"# für uns\n\n{GOOD}gateway: {{mtu: 1300}}\n"))
    read = found(made).config
    assert (read.network, read.controller.token, read.gateway.mtu) == (NETWORK, Secret(TOKEN), 1300)


@pytest.mark.parametrize("editor", EDITORS)
@pytest.mark.parametrize("mistake", ["  colour: red\n", "\tname: x\n", "  name: [x\n", "  mtu:1300\n"])
def test_the_line_is_right_whatever_ends_it(tmp_path: Path, editor: str, mistake: str) -> None:
    before = EDITORS[editor](f"{GOOD}# a comment\n\ngateway:\n").count(b"#") - 1
    status, line = shown(tmp_path, EDITORS[editor](f"{GOOD}# a comment\n\ngateway:\n{mistake}"))
    assert f"gateway.yaml:{7 + before}: " in status
    assert f"gateway.yaml:{7 + before}: " in line


# what is in the file: str is saved as UTF-8; the line that is named, and what is said of it
MISTAKES: list[tuple[str | bytes, int, str]] = [
    (NET + "gateway:\n\tname: x\n", 3, "indented with a tab"),
    (NET + "gateway:\n  \tname: x\n", 3, "indented with a tab"),
    (NET + "gateway:\n  name: x\n\tmtu: 1300\n", 4, "indented with a tab"),
    (NET + "gateway:\n\u00a0\u00a0name: x\n", 3, "indented with a non-breaking space (U+00A0)"),
    (NET + "gateway:\n  mtu: 1300\n\u00a0\u00a0name: x\n", 4, "indented with a non-breaking space"),
    (NET + "gateway:\n\u00a0\u00a0name: x\n  mtu: 1300\n", 3, "indented with a non-breaking space"),
    (f"network:\u00a0{NETWORK}\n", 1, "there is a non-breaking space (U+00A0)"),
    (f"network:\u00a0{NETWORK}\n# mine\n\ngateway: {{}}\n", 1, "there is a non-breaking space"),
    (NET + f"controller:\n  token: {SECRET}\u200b\n", 3, "there is an invisible character (U+200B)"),
    (NET + f"controller:\n  token: '{SECRET}\u200b'\n", 3, "there is an invisible character (U+200B)"),
    (f"network: \u201c{NETWORK}\u201d\n", 1, "typographic quotes"),
    (f"network: \u201e{NETWORK}\u201c\n", 1, "typographic quotes"),
    (NET + f"controller:\n  token: \u201c{SECRET}\u201d\n", 3, "typographic quotes"),
    (NET + f'controller:\n  token: "{SECRET}\u201d\ngateway: {{}}\n', 3, "typographic quotes"),
    (f"network: \u201c{NETWORK}\u201d\n".encode("cp1252"), 1, "typographic quotes"),
    (NET + "\u201cgateway\u201d: {}\n", 2, "typographic quotes"),
    (f"network:{NETWORK}\n", 1, "no space after the colon of `network`"),
    (f"# mine\nnetwork:{NETWORK}\n# end\ncontroller:\n  token: x\n", 2, "no space after the colon"),
    (NET + f"controller:\n  token:{SECRET}\n", 3, "no space after the colon of `token`"),
    (NET + f"controller:\n  token:{SECRET}\n  kind: auto\n", 3, "no space after the colon of `token`"),
    (NET + f"controller: {{token:{SECRET}}}\n", 2, "no space after the colon of `token`"),
    (NET + f"controller:\n  token {SECRET}\n  kind: auto\n", 3, "no colon after `token`"),
    (NET + f"controller: token:{SECRET}\n", 2, "no space after the colon of `token`"),
    (NET + "gateway:\n  name: x\n  mtu:1300\nipv4: {}\n", 4, "no space after the colon of `mtu`"),
    (NET + f"controller:\n  token={SECRET}\n", 3, "no colon after `token`"),
    (NET + f"controller:\n  token {SECRET}\n", 3, "no colon after `token`"),
    (NET + f"controller:\n  tokn={SECRET}\n", 2, "controller: the value is not a group"),
    (f"network {NETWORK}\ncontroller: {{}}\n", 1, "no colon after `network`"),
    (NET + "gateway:\n  name: 'x\n  mtu: 1300\n", 3, "broken YAML"),
    (bytes(512), 1, "not a text file: NUL bytes, as after a power cut"),
    (NET.encode() + bytes(400), 2, "not a text file: NUL bytes, as after a power cut"),
    (NET + "gateway:\x0b  name: x\n", 2, "not a text file: a control character (U+000B)"),
    (b"{\\rtf1\\ansi network: 1}", 1, "a word processor's document"),
    (b"PK\x03\x04" + bytes(range(256)), 1, "a word processor's document"),
    (EXAMPLE, 2, "network: is still the example's placeholder"),
    (EXAMPLE, 4, "controller.token: is empty"),
    (NET + "controller:\n  token: ''\n", 3, "controller.token: is empty"),
]


@pytest.mark.parametrize(("content", "line", "words"), MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_is_named_with_its_line(
    tmp_path: Path, content: str | bytes, line: int, words: str
) -> None:
    status, console = shown(tmp_path, content.encode() if isinstance(content, str) else content)
    assert status.startswith("ztgate 0.1.0: failed\r\n")
    assert f"gateway.yaml:{line}: {words}" in status
    assert console.startswith("ztgate: failed: ") and "gateway.yaml:" in console
    assert SECRET not in status + console


def test_every_slip_is_listed_and_nothing_that_follows_from_it(tmp_path: Path) -> None:
    text = NET + "gateway:\n\tname: x\n\tmtu: 1300\nipv4:\n\u00a0\u00a0mode: masquerade\n"
    status, console = shown(tmp_path, text.encode())
    assert "gateway.yaml:3: indented with a tab" in status
    assert "gateway.yaml:3: indented with a tab" in console
    status, _ = shown(tmp_path / "2", f"\u201cnetwork\u201d: {NETWORK}\ngateway:\n  name:x\n".encode())
    assert re.findall(r"yaml:(\d+)", status) == ["1", "3"]


# Tabs, quotes and spaces where they are right.
GOOD_TEXTS = [
    f"network:\t{NETWORK}\n",
    f"network: {NETWORK}\t# mine\n",
    f"network: {NETWORK}  \t\n\t\n  \t\n\t# a comment\n",
    f'network:\t"{NETWORK}"\t# mine\nfirewall:\n  allow:\n  -\ttcp/22\n  -\ttcp/80\t\n',
    f"network : {NETWORK}\n",
    f"# \u201cthe one\u201d\u00a0of\u200bmine; token:x\nnetwork: {NETWORK}  # \u2019s\n",
    NET + f'ssh: {{authorized-keys: ["{KEY} J\u00f6rg\u2019s\u00a0\u201chome\u201d"]}}\n',
    f"\ufeffnetwork: {NETWORK}\n",
]


@pytest.mark.parametrize("text", GOOD_TEXTS)
def test_what_is_legal_works(tmp_path: Path, text: str) -> None:
    made = machine(tmp_path)
    put(made, text.encode())
    assert found(made).config.network == NETWORK


# what else is on the card, and what the waiting reason and its hint say
NAMES: list[tuple[dict[str, bytes], str, str]] = [
    ({"gateway.yaml.txt": GOOD.encode()}, "no gateway.yaml, but gateway.yaml.txt: rename it", "Explorer"),
    ({"gateway.txt": GOOD.encode()}, "but gateway.txt: rename it to gateway.yaml", "Explorer"),
    ({"gateway.yml": GOOD.encode()}, "but gateway.yml: rename it to gateway.yaml", ""),
    ({"Gateway.YAML": GOOD.encode()}, "but Gateway.YAML: rename it to gateway.yaml", ""),
    ({"gateway (1).yaml": b"x"}, "but gateway (1).yaml: rename it", ""),
    ({"gateway.yaml.example": GOOD.encode()}, "but gateway.yaml.example: rename it", ""),
    (
        {"gateway.yaml.example": EXAMPLE.replace(b'""', b"abcdefgh")},
        "but gateway.yaml.example: rename it",
        "network's id into it: it is still the example's",
    ),
    ({"gateway.yaml.example": EXAMPLE}, "no configuration: put gateway.yaml on", "looked for"),
    ({"gateway.yaml": b"\r\n", "gateway.yaml.txt": b"x: 1"}, "but gateway.yaml.txt: rename it", ""),
    ({"gateway.yaml": b"\xff\xfe\r\0\n\0"}, "no configuration: put gateway.yaml on", "looked for"),
    ({"gateway.yaml.txt": b"", "._gateway.yaml": b"x", "start.elf": b"x"}, "no configuration: put", ""),
    ({"gateway.yml": b"x", "gateway.yaml.txt": b"y"}, "but gateway.yaml.txt and gateway.yml: rename it", ""),
]


@pytest.mark.parametrize(("files", "reason", "hint"), NAMES)
def test_a_wrong_name_is_named(tmp_path: Path, files: dict[str, bytes], reason: str, hint: str) -> None:
    made = machine(tmp_path, text="")
    console = with_console(made)
    for name, content in files.items():
        (made.paths.fat / name).write_bytes(content)
    assert service.apply(made, once=True) == service.WAITING
    status = report.read(made)
    assert reason in status["reason"] and hint in status["hint"]
    assert f"reason: {status['reason']}\r\n" in made.paths.status_text.read_bytes().decode()
    assert f"ztgate: waiting: {status['reason']}" in console.read_text()


def test_a_right_name_elsewhere_is_enough(tmp_path: Path) -> None:
    made = machine(tmp_path, text="")
    (made.paths.fat / "gateway.yaml.txt").write_text("nonsense")
    with pytest.raises(WaitingError):
        configfile.find(made.paths)
    made.paths.cloud_config.parent.mkdir(parents=True)
    made.paths.cloud_config.write_text(GOOD)
    assert found(made).path == made.paths.cloud_config


@pytest.mark.parametrize("editor", EDITORS)
def test_a_gateway_gets_ready_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, editor: str) -> None:
    """And its token is nowhere any more, while the file still reads as a configuration."""
    controller = FakeController({"routes": [{"target": "10.66.0.0/24", "via": None}]})
    monkeypatch.setattr(tell, "open_controller", lambda *_: controller)
    made = machine(tmp_path, controller)
    put(made, EDITORS[editor](GOOD))
    for _ in range(2):
        assert service.apply(made, once=True) == service.READY
        assert TOKEN not in made.paths.fat_config.read_bytes().replace(b"\0", b"").decode("latin-1")
        assert found(made).config.controller.token is None


def test_the_example_is_valid_once_it_is_filled_in() -> None:
    text = EXAMPLE.decode("ascii")  # every editor shows that as it is
    filled = text.replace(config.PLACEHOLDER, NETWORK).replace('""', f'"{TOKEN}"', 1)
    read = config.load(filled, "gateway.yaml.example")
    assert (read.network, read.controller.token) == (NETWORK, Secret(TOKEN))
    # What is commented out is right as well: it is what people uncomment.
    for key, words in re.findall(r"(\w+): \S+ +# (\w[\w-]+ \| .*)\r", text):
        kinds = [
            part["properties"][key]
            for part in config.schema()["properties"].values()
            if key in part.get("properties", {})
        ]
        assert words.split(" | ") in [kind.get("enum") for kind in kinds], key
    everything = re.sub(r"(?m)^# ?(?=[a-z ]+[a-z0-9-]*:)", "", filled)
    assert config.load(everything, "gateway.yaml.example").gateway == read.gateway
    assert len(everything) < len(filled)


@pytest.mark.parametrize("path", [CARD / "README.txt", CARD / "gateway.yaml.example"], ids=lambda p: p.name)
def test_old_notepad_shows_lines(path: Path) -> None:
    content = path.read_bytes()
    assert content.isascii()
    assert content.count(b"\n") == content.count(b"\r\n") == content.count(b"\r") > 10, ".gitattributes"
    assert max(map(len, content.splitlines())) <= 80
