"""Many images from one: everything is checked first, each is whole and private, and has a receipt."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import build
from builder import batch, copies, gateway_config
from builder.errors import BuildError
from tests.unit.builder.test_gateway_config import VALID, content, listing, make_image

NETWORK = "8056c2e21c000001"
OCTAL = "0123456701234567"  # what YAML alone takes for a number
TOKEN = "abcdefghijklmnop0123"
KEYS = [
    f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHyVnXY8bQ0mS9pTqvYwXc7l2kJrUe5oGdN4aFhZt3R{x} me@home"
    for x in "ij"
]
CSV = f"file,network,gateway.name\nberlin,{NETWORK},Berlin\nparis,{OCTAL},Paris\n"


@pytest.fixture(autouse=True)
def no_token_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZTGATE_TOKEN", raising=False)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    if shutil.which("mformat") is None:
        pytest.skip("mtools is not installed")
    made = make_image(tmp_path / "base.img")
    with made.open("r+b") as disk:  # something behind the FAT partition, and a hole
        disk.truncate(made.stat().st_size + (3 << 20))
        disk.seek(-5, 2)
        disk.write(b"ext4!")
    return made


def put(tmp_path: Path, text: str | bytes, name: str = "gateways.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def make(image: Path, file: Path, *, force: bool = False) -> list[batch.Receipt]:
    return batch.configure(image, file, file.parent / "new/out", lambda _: None, batch.How(force=force))


def fails(image: Path, file: Path, *, force: bool = False) -> BuildError:
    """The error; nothing may have been written."""
    before = sorted(file.parent.rglob("*"))
    with pytest.raises(BuildError) as e:
        make(image, file, force=force)
    assert sorted(file.parent.rglob("*")) == before
    assert e.value.hint
    return e.value


def test_images_with_receipts(image: Path, tmp_path: Path) -> None:
    base = image.read_bytes()
    said = list[str]()
    out = tmp_path / "out"
    receipts = batch.configure(image, put(tmp_path, CSV), out, said.append, batch.How(checksums=True))
    assert sorted(p.name for p in out.iterdir()) == ["berlin.img", "paris.img", "receipts.json"]
    for path in out.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    for receipt, network, name in zip(receipts, (NETWORK, OCTAL), ("Berlin", "Paris"), strict=True):
        made = out / receipt.file
        assert yaml.safe_load(content(made)) == {"network": network, "gateway": {"name": name}}
        assert listing(made) == ["::/gateway.yaml"]
        assert receipt.sha256 == hashlib.sha256(made.read_bytes()).hexdigest()
        assert (receipt.network, receipt.gateway, receipt.size) == (network, name, made.stat().st_size)
        assert receipt.base_sha256 == hashlib.sha256(base).hexdigest()
        assert receipt.time.endswith("+00:00")
        assert made.stat().st_blocks * 512 < made.stat().st_size / 2
    assert image.read_bytes() == base
    assert len(said) == 2


def told(entries: list[batch.Entry]) -> dict[str, Any]:
    return {entry.file: yaml.safe_load(entry.text) for entry in entries}


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_as_spreadsheets_write_it(tmp_path: Path, ending: str, separator: str, mark: str) -> None:
    rows = [
        ["file", " network", "gateway.mtu", "gateway.takeover", "ssh.authorized-keys", "controller.token"],
        ["a", OCTAL, "1280", "TRUE", f'"{KEYS[0]}; {KEYS[1]}"', "null"],
        ["", "", "", "", "", ""],
        ["b", NETWORK, "many", "perhaps", "", ""],
    ]
    text = mark + ending.join(separator.join(row) for row in rows) + ending
    entries = batch.read(put(tmp_path, text))
    assert told(entries) == {
        "a": {
            "network": OCTAL,
            "gateway": {"mtu": 1280, "takeover": True},
            "ssh": {"authorized-keys": KEYS},
            "controller": {"token": "null"},
        },
        "b": {"network": NETWORK, "gateway": {"mtu": "many", "takeover": "perhaps"}},
    }
    assert [entry.where for entry in entries] == ["gateways.csv:2 (a)", "gateways.csv:4 (b)"]


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    text = f'file,controller.ca-file,network\na,"-----BEGIN\nEND",{NETWORK}\n\nb,,{NETWORK}\n'
    assert [entry.where for entry in batch.read(put(tmp_path, text))] == [
        "gateways.csv:2 (a)",
        "gateways.csv:5 (b)",
    ]


@pytest.mark.parametrize("name", ["gateways.yaml", "gateways.YML"])
def test_yaml_with_something_in_common(tmp_path: Path, name: str) -> None:
    text = f"""
common:
  controller: {{kind: self-hosted, url: "http://10.0.0.5:9993"}}
  ssh: {{authorized-keys: [one, two]}}
gateways:
  - {{file: a, network: {OCTAL}}}
  - file: 07
    network: {NETWORK}
    controller: {{url: "http://10.0.0.6:9993", token: t}}
    ssh: {{authorized-keys: [three]}}
    ipv6: {{mode: off}}
"""
    entries = batch.read(put(tmp_path, text, name))
    assert [entry.file for entry in entries] == ["a", "07"]
    assert f"network: {OCTAL}\n" in entries[0].text  # as typed: the schema says that it is text
    assert "mode: off" in entries[1].text
    second = yaml.safe_load(entries[1].text)
    assert second["controller"] == {"kind": "self-hosted", "url": "http://10.0.0.6:9993", "token": "t"}
    assert second["ssh"] == {"authorized-keys": ["three"]}
    assert yaml.safe_load(entries[0].text)["ssh"] == {"authorized-keys": ["one", "two"]}


def test_a_yaml_list_is_read_as_the_appliance_reads(image: Path, tmp_path: Path) -> None:
    receipts = make(image, put(tmp_path, f"- {{file: a, network: {OCTAL}, ipv6: {{mode: off}}}}\n", "b.yaml"))
    assert (receipts[0].network, receipts[0].gateway) == (OCTAL, "ztgate")


def test_tokens_come_from_where_configure_takes_them(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZTGATE_TOKEN", "of-the-environment")
    put(tmp_path, TOKEN, "secret")
    first = f"- {{file: a, network: {NETWORK}}}\n"
    second = f"- {{file: b, network: {NETWORK}, controller: {{token-file: secret}}}}\n"
    make(image, put(tmp_path, first + second, "b.yaml"))
    out = tmp_path / "new/out"
    assert yaml.safe_load(content(out / "a.img"))["controller"] == {"token": "of-the-environment"}
    assert yaml.safe_load(content(out / "b.img"))["controller"] == {"token": TOKEN}
    receipts = (out / "receipts.json").read_text()
    assert TOKEN not in receipts
    assert "of-the-environment" not in receipts


HEAD = "file,network\n"
GOOD = f"good,{NETWORK}\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("b.csv", f"{HEAD}{GOOD}bad,123\n", "b.csv:3 (bad): network: `123` has 3 characters"),
        ("b.csv", f"{HEAD}bad,1\nworse,2\n", "b.csv:3 (worse): network: `2`"),
        (
            "b.csv",
            f"file,network,gateway.mtu\nx,{NETWORK},1\n",
            "b.csv:2 (x): gateway.mtu: `1` is not between",
        ),
        (
            "b.csv",
            f"file,network,controller.token\nx,{NETWORK},s p\n",
            "(x): controller.token: the value is not",
        ),
        ("b.csv", f"file,network,controller.token-file\nx,{NETWORK},no\n", "(x): controller.token-file: "),
        ("b.csv", "file,gateway.name\nx,X\n", "b.csv:2 (x): network: is missing"),
        ("b.csv", f"{HEAD}x,\n", "b.csv:2 (x): is empty"),
        ("b.csv", f"{HEAD}{GOOD}GOOD,{NETWORK}\n", "b.csv:3 (GOOD): file: `GOOD` is taken by b.csv:2 (good)"),
        ("b.csv", f"{HEAD},{NETWORK}\n", "b.csv:2 (): file: `` cannot be the name"),
        ("b.csv", f"{HEAD}../x,{NETWORK}\n", "file: `../x` cannot be the name"),
        ("b.csv", f"{HEAD}.x,{NETWORK}\n", "file: `.x` cannot be the name"),
        ("b.csv", f"{HEAD}-x,{NETWORK}\n", "file: `-x` cannot be the name"),
        ("b.csv", f"{HEAD}x@@1,{NETWORK}\n", "file: `x@@1` cannot be the name"),
        ("b.csv", f"{HEAD}x.img,{NETWORK}\n", ".img is added to it"),
        ("b.csv", f"{HEAD}x,{NETWORK},more\n", "b.csv:2: more cells"),
        ("b.csv", f'{HEAD}x,"{NETWORK}\n', "b.csv:2: broken CSV"),
        ("b.csv", "file,netwrok\nx,1\n", "b.csv:1: column `netwrok`: unknown"),
        ("b.csv", "file,network,network\nx,1,1\n", "b.csv:1: column `network`: given twice"),
        ("b.csv", f"network\n{NETWORK}\n", "b.csv:1: column `file` is missing"),
        ("b.csv", HEAD, "there is no gateway in it"),
        ("b.txt", HEAD, "no batch file"),
        ("b.yaml", "- {file: a, network: 123}\n", "b.yaml: entry 1 (a): network: `123` has 3"),
        ("b.yaml", "- {file: a, network: 1, gatway: {}}\n", "b.yaml: entry 1 (a): gatway: unknown key"),
        ("b.yaml", f"- {{network: {NETWORK}}}\n", "b.yaml: entry 1 (): file: `` cannot"),
        ("b.yaml", "- a\n", "b.yaml: entry 1: no `key: value` lines"),
        ("b.yaml", "gateways: {}\n", "b.yaml: no list of gateways"),
        ("b.yaml", "gatways: []\n", "b.yaml: gatways: unknown key"),
        ("b.yaml", "common: 1\ngateways: []\n", "b.yaml: common: no `key: value` lines"),
        ("b.yaml", "- [\n", "b.yaml:2: broken YAML"),
        ("b.yaml", "", "b.yaml: no list of gateways"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(
    image: Path, tmp_path: Path, name: str, text: str, message: str
) -> None:
    assert message in fails(image, put(tmp_path, text, name)).message


def test_an_encoding_of_old(image: Path, tmp_path: Path) -> None:
    assert (
        "no UTF-8 text" in fails(image, put(tmp_path, f"{HEAD}zürich,{NETWORK}\n".encode("cp1252"))).message
    )


def test_what_excel_calls_unicode(image: Path, tmp_path: Path) -> None:
    made = make(image, put(tmp_path, b"\xff\xfe" + CSV.replace("\n", "\r\n").encode("utf-16-le")))
    assert [receipt.file for receipt in made] == ["berlin.img", "paris.img"]


def test_many_mistakes_are_one_error(image: Path, tmp_path: Path) -> None:
    rows = "".join(f"x{i},{i}\n" for i in range(30))
    lines = fails(image, put(tmp_path, HEAD + rows)).message.splitlines()
    assert len(lines) == batch.SHOWN + 1
    assert lines[-1] == "and 10 more"


def test_what_exists_is_replaced_only_by_force(image: Path, tmp_path: Path) -> None:
    make(image, put(tmp_path, CSV))
    file = put(tmp_path, f"{HEAD}paris,{NETWORK}\nrome,{NETWORK}\n")
    assert "gateways.csv:2 (paris): file: " in fails(image, file).message
    make(image, file, force=True)
    out = tmp_path / "new/out"
    receipts = json.loads((out / "receipts.json").read_text())
    assert [(r["file"], r["network"]) for r in receipts] == [
        ("berlin.img", NETWORK),  # of the first batch
        ("paris.img", NETWORK),
        ("rome.img", NETWORK),
    ]
    assert yaml.safe_load(content(out / "paris.img")) == {"network": NETWORK}


def test_the_image_itself_is_never_the_target(image: Path, tmp_path: Path) -> None:
    file = put(tmp_path, f"{HEAD}base,{NETWORK}\n")
    with pytest.raises(BuildError, match="is the image to be copied"):
        batch.configure(image, file, tmp_path, print, batch.How(force=True))


def test_a_configured_image_is_no_source(image: Path, tmp_path: Path) -> None:
    gateway_config.configure(image, put(tmp_path, VALID, "gateway.yaml"))
    assert "configured already" in fails(image, put(tmp_path, CSV)).message


def test_no_room(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(batch, "_can_reflink", lambda *_: False)
    assert "no room: 0 MiB are free, 2 images need" in fails(image, put(tmp_path, CSV)).message
    monkeypatch.setattr(batch, "_can_reflink", lambda *_: True)
    assert len(make(image, put(tmp_path, CSV))) == 2


def test_damaged_receipts(image: Path, tmp_path: Path) -> None:
    (tmp_path / "new/out").mkdir(parents=True)
    put(tmp_path, "{]", "new/out/receipts.json")
    assert "no list of receipts" in fails(image, put(tmp_path, CSV)).message


@pytest.mark.parametrize("problem", [BuildError("mcopy: killed"), KeyboardInterrupt()])
def test_what_ends_early_leaves_whole_images_with_receipts(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: BaseException
) -> None:
    make_it = copies.make

    def fail(base: copies.Base, pattern: copies.Pattern, content: bytes, target: Path) -> None:
        make_it(base, pattern, content, target)
        if "paris" in target.name:
            raise problem

    monkeypatch.setattr(batch, "WORKERS", 1)
    monkeypatch.setattr(copies, "make", fail)
    rows = "".join(f"x{i},{NETWORK}\n" for i in range(50))
    with pytest.raises(type(problem)):
        batch.configure(
            image,
            put(tmp_path, f"{HEAD}berlin,{NETWORK}\nparis,{NETWORK}\n{rows}"),
            tmp_path / "new/out",
            lambda _: None,
            batch.How(checksums=True),
        )
    out = tmp_path / "new/out"
    receipts = {r["file"]: r["sha256"] for r in json.loads((out / "receipts.json").read_text())}
    made = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in out.glob("*.img")}
    assert receipts == made
    assert "berlin.img" in made
    assert "paris.img" not in made
    assert len(made) < 50
    assert not [p for p in out.iterdir() if p.name.startswith(".tmp-")]


def test_an_image_that_changes_meanwhile(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_it = copies.make

    def change(base: copies.Base, pattern: copies.Pattern, content: bytes, target: Path) -> None:
        image.write_bytes(image.read_bytes())
        make_it(base, pattern, content, target)

    monkeypatch.setattr(copies, "make", change)
    with pytest.raises(BuildError, match=r"gateways.csv:\d \(\w+\): .*base.img has changed meanwhile"):
        make(image, put(tmp_path, CSV))
    assert not list((tmp_path / "new/out").glob("*.img"))


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ([], 2, "configure: one of the arguments --config --batch is required"),
        (["--config", "a.yaml", "--batch", "b.csv"], 2, "not allowed with argument"),
        (["--config", "a.yaml", "--out", "x"], 1, "--out, --format, --force, --checksums go with --batch"),
        (["--config", "a.yaml", "--force"], 1, "--out, --format, --force, --checksums go with --batch"),
    ],
)
def test_one_of_two(words: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        done = build.main(["configure", "x.img", *words])
    except SystemExit as e:
        done = int(e.code or 0)
    assert done == status
    assert message in capsys.readouterr().err


def test_the_receipts_for_machines(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["configure", str(image), "--batch", str(put(tmp_path, CSV)), "--json"]) == 0
    said = capsys.readouterr()
    receipts = json.loads((tmp_path / "base-gateways/receipts.json").read_text())
    assert json.loads(said.out) == {"ok": True, "receipts": receipts}
    assert "2/2" in said.err
