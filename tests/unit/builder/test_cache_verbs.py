"""why, size and clean: what the cache says about itself, on the smallest stages that there can be."""

import io
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import build
from builder import sizes
from builder.engine import look_ahead, resume
from builder.inputs import Inputs
from builder.run import pasteable
from builder.stages import Work
from builder.store import Store

from .test_pipeline import Seen

MIB = 1 << 20


@dataclass
class Step:
    """A stage that writes its value."""

    name: str
    value: str
    needs: tuple[str, ...] = ()

    def inputs(self) -> Inputs:
        return {"value": self.value}

    def verify(self) -> None:
        pass

    def run(self, work: Work) -> None:
        (work.out / "value").write_bytes(self.value.encode() * MIB)


def test_what_is_foretold_is_what_happens(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = Step("one", "a"), Step("two", "b", ("one",))
    assert [one.reason for one in look_ahead([first, second], store)] == ["nothing in the cache"] * 2
    resume([first, second], store, Seen())
    assert [one.artifact is None for one in look_ahead([first, second], store)] == [False, False]
    changed = [Step("one", "a"), Step("two", "c", ("one",))]
    foretold = look_ahead(changed, store)
    assert [(one.artifact is None, one.reason) for one in foretold][1] == (True, "value changed")
    results, _ = resume(changed, store, Seen())
    assert [result.action for result in results] == ["cached", "ran"]
    assert results[1].reason == foretold[1].reason
    assert store.missed("two", changed[1].inputs()).expected is not None


def test_clean_keeps_what_was_used_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path)
    for number, value in enumerate("abcd"):
        _, artifacts = resume([Step("one", value)], store, Seen())
        os.utime(artifacts["one"], (number, number))
    assert build.main(["clean", "--cache", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"]["one"] >= 4 * MIB
    assert build.main(["clean", "--cache", str(tmp_path), "--keep", "2"]) == 0
    said = capsys.readouterr()
    assert "2 MiB are free again" in said.err and "together" in said.out
    left = sorted((path / "value").read_bytes()[:1] for path in (tmp_path / "one").glob("[!.]*"))
    assert left == [b"c", b"d"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--keep", "-1"], "--keep -1: a number from 0 on"),
        (["--cache", "/nowhere/x"], "/nowhere/x: there is no cache"),
    ],
)
def test_clean_refuses(words: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["clean", *words]) == 1
    assert error in capsys.readouterr().err


def test_size_finds_each_file_owner(tmp_path: Path) -> None:
    content = {
        "./var/lib/dpkg/info/a.list": b"/.\n/bin/a\n/usr/share/doc/a\n",
        "./var/lib/dpkg/info/b:amd64.list": b"/usr/lib/b.so\n",
        "./usr/bin/a": b"x" * 3 * MIB,
        "./usr/share/doc/a": b"x" * MIB,
        "./usr/lib/b.so": b"x" * 100,
        "./usr/lib/ztgate/x.py": b"x" * 50,
        "./etc/hosts": b"x" * 7,
        "./boot/initrd.img": b"x" * 9 * MIB,
    }
    with tarfile.open(tmp_path / "root.tar", "w") as tar:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    found = sizes.of_image([tmp_path / "root.tar"], ["etc/hosts"])
    by_name = {size.package: size.size for size in found}
    assert by_name[sizes.MADE] == 9 * MIB
    assert by_name[sizes.OURS] == 57
    assert by_name["a"] == 4 * MIB + len(content["./var/lib/dpkg/info/a.list"])
    assert by_name["b"] == 100 + len(content["./var/lib/dpkg/info/b:amd64.list"])
    assert found[0].package == sizes.MADE and sum(by_name.values()) == sum(map(len, content.values()))
    shown = sizes.text(found)
    assert "    9.0  (made" in shown and "2 more, each below 1 MiB" in shown


def test_a_command_line_can_be_pasted() -> None:
    shown = pasteable(["mke2fs", "-L", "a b"], {"TZ": "UTC", "X": "1 2"}, Path("/tmp/a b"))
    assert shown == "cd '/tmp/a b' && TZ=UTC X='1 2' mke2fs -L 'a b'"
