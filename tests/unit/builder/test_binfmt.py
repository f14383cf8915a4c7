"""The machine's own registration of QEMU: how the kernel shows it, and what is said if it does not serve."""

import os
import platform
from pathlib import Path

import pytest

from builder import binfmt, debian, foreign
from builder.errors import BuildError

from .conftest import FakeTool, make_tree

PROGRAM = binfmt.PROGRAM["arm64"]
MAGIC = "magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n"
OTHERS = "magic 7f454c4602010100000000000000000002003e00\n"
QEMU = f"enabled\ninterpreter /bin/sh\nflags: POCF\noffset 0\n{MAGIC}"
PYTHON = "enabled\ninterpreter /usr/bin/python3\nflags: \noffset 0\nmagic cb0d0d0a\n"
BY_NAME = "enabled\ninterpreter /usr/bin/jexec\nflags: \nextension .jar\n"


@pytest.mark.parametrize(
    ("text", "enabled", "interpreter", "flags", "fits"),
    [
        (QEMU, True, "/bin/sh", "POCF", True),
        (QEMU.replace("enabled", "disabled"), False, "/bin/sh", "POCF", True),
        (QEMU.replace(MAGIC, OTHERS), True, "/bin/sh", "POCF", False),
        (QEMU.replace("offset 0", "offset 4"), True, "/bin/sh", "POCF", False),
        (
            QEMU.replace(MAGIC, "magic b700\n").replace("offset 0", "offset 18"),
            True,
            "/bin/sh",
            "POCF",
            True,
        ),
        (PYTHON, True, "/usr/bin/python3", "", False),
        (BY_NAME, True, "/usr/bin/jexec", "", False),
        ("", False, "", "", False),
    ],
)
def test_a_registration_is_read(text: str, enabled: bool, interpreter: str, flags: str, fits: bool) -> None:
    entry = binfmt.parse(Path("x"), text)
    assert (entry.enabled, entry.interpreter, entry.flags, entry.fits(PROGRAM)) == (
        enabled,
        interpreter,
        flags,
        fits,
    )


ON = {"status": "enabled\n", "register": ""}
AGAIN = f"echo -1 | sudo tee {{at}}/qemu-aarch64; {binfmt.INSTALL}"


@pytest.mark.parametrize(
    ("shown", "fault", "remedy"),
    [
        ({}, "there is no binfmt_misc in {at}", binfmt.INSTALL),
        (ON, "{at} has no registration for them", binfmt.INSTALL),
        ({**ON, "jar": BY_NAME, "py": PYTHON}, "{at} has no registration for them", binfmt.INSTALL),
        (
            {**ON, "status": "disabled\n", "qemu-aarch64": QEMU},
            "{at} is disabled",
            "echo 1 | sudo tee {at}/status",
        ),
        (
            {**ON, "qemu-aarch64": QEMU.replace("enabled", "disabled")},
            "{at}/qemu-aarch64 is disabled",
            "echo 1 | sudo tee {at}/qemu-aarch64",
        ),
        (
            {**ON, "qemu-aarch64": QEMU.replace("/bin/sh", "/nonexistent/qemu")},
            "{at}/qemu-aarch64 names /nonexistent/qemu, which is not there",
            binfmt.INSTALL,
        ),
        (
            {**ON, "qemu-aarch64": QEMU.replace("POCF", "PO")},
            "{at}/qemu-aarch64 has the flags 'PO', and without F it does not serve in an image",
            AGAIN,
        ),
        (
            {**ON, "qemu-aarch64": QEMU.replace("POCF", "")},
            "{at}/qemu-aarch64 has the flags '', and without F it does not serve in an image",
            AGAIN,
        ),
        (
            {**ON, "a": QEMU.replace("enabled", "disabled"), "qemu-aarch64": QEMU},
            "/bin/sh of {at}/qemu-aarch64 does not serve: chroot: no",
            AGAIN,
        ),
    ],
)
def test_what_does_not_serve_is_named_with_the_next_thing_to_do(
    tmp_path: Path, shown: dict[str, str], fault: str, remedy: str
) -> None:
    make_tree(tmp_path, shown)
    said = binfmt.explain(PROGRAM, tmp_path, "chroot: no")
    assert said == (fault.format(at=tmp_path), remedy.format(at=tmp_path))


@pytest.mark.parametrize(
    ("release", "newer"),
    [("6.1.0-13-amd64", "or boot Linux 6.7 or later (here: 6.1.0-13-amd64"), ("6.7-rc1", ""), ("10.0+", "")],
)
def test_a_newer_kernel_is_advised_where_it_would_help(
    tmp_path: Path, fake_tool: FakeTool, monkeypatch: pytest.MonkeyPatch, release: str, newer: str
) -> None:
    fake_tool("chroot", "echo 'chroot: Exec format error'; exit 126")
    monkeypatch.setattr(platform, "release", lambda: release)
    monkeypatch.setattr(binfmt, "DIRECTORY", tmp_path)
    with pytest.raises(BuildError) as e:
        binfmt.verify("arm64", (), "mount: not permitted")
    assert e.value.message == (
        "arm64 programs cannot be run on this machine: mount: not permitted; "
        f"and there is no binfmt_misc in {tmp_path}"
    )
    assert e.value.hint.startswith(binfmt.INSTALL)
    assert newer in e.value.hint
    assert bool(newer) == ("6.7" in e.value.hint)


@pytest.mark.parametrize(
    ("root", "why", "tried"),
    [(True, "old kernel", "chroot"), (False, "old kernel", "mmdebstrap"), (True, "", ""), (False, "", "")],
)
def test_it_is_tried_as_mmdebstrap_will_use_it(
    fake_tool: FakeTool, monkeypatch: pytest.MonkeyPatch, root: bool, why: str, tried: str
) -> None:
    monkeypatch.setattr(foreign, "why_not_own", lambda _: why)
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    calls = {name: fake_tool(name, "") for name in ("chroot", "mmdebstrap")}
    debian.verify("arm64")
    assert {name for name, file in calls.items() if "/program" in file.read_text()} == {tried} - {""}
    assert ("--unshare-helper chroot /" in calls["mmdebstrap"].read_text()) == (tried == "mmdebstrap")


def test_missing_user_namespaces_are_not_taken_for_a_missing_registration(
    fake_tool: FakeTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "why_not_own", lambda _: "userns: unshare: Operation not permitted")
    monkeypatch.setattr(debian, "mode", lambda: "unshare")
    fake_tool("mmdebstrap", "echo 'E: cannot find newuidmap'; exit 25")
    with pytest.raises(BuildError, match="cannot find newuidmap") as e:
        debian.verify("arm64")
    assert "user namespaces" in e.value.hint


def test_the_handlers_bits_are_those_of_the_program() -> None:
    magic, mask = (
        text.encode().decode("unicode_escape").encode("latin-1") for text in foreign.MAGIC["arm64"]
    )
    entry = binfmt.Entry(Path("x"), True, "", "", 0, magic, mask)
    assert entry.fits(PROGRAM)
    assert len(PROGRAM) == 132
