"""Overlays, hygiene, and what comes of them: the packages' files and those that are laid over them."""

import contextlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from builder import dpkg, hygiene, listing, overlay, patch
from builder.errors import BuildError
from builder.stages.rootfs import laid
from builder.stages.system import strip
from builder.tarfiles import Entry, append, tar_of_tree, with_parents
from builder.tools import Tools

from .conftest import make_tree

EPOCH = 1_000_000
CONTEXT = {"image": {"hostname": "gate"}, "build": {"version": "1"}}


def pack(path: Path, files: Mapping[str, str], mtime: int = EPOCH + 999) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.mtime, info.uname, info.uid = mtime, "somebody", 7
            if content.startswith("-> "):
                info.type, info.linkname = tarfile.SYMTYPE, content.removeprefix("-> ")
            elif content.startswith("=> "):
                info.type, info.linkname = tarfile.LNKTYPE, content.removeprefix("=> ")
            elif name.endswith("/"):
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content.encode()) if info.isreg() else None)
    return path


def unpack(path: Path) -> dict[str, str]:
    found = {}
    with tarfile.open(path) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            name = member.name.removeprefix("./")
            found[name] = (
                file.read().decode() if file else f"-> {member.linkname}" if member.issym() else "dir"
            )
    return found


def merged(
    tmp_path: Path, packed: Mapping[str, str], ours: Mapping[str, Entry], remove: tuple[str, ...] = ()
) -> dict[str, str]:
    """Both tars, as one."""
    system, over = tmp_path / "system.tar", tmp_path / "laid.tar"
    strip(pack(tmp_path / "in.tar", packed), system, remove, EPOCH)
    below = {member.path: member for member in listing.of_tar(system)}
    with tarfile.open(over, "w") as tar:
        append(tar, laid(ours, below), EPOCH)
    return unpack(system) | unpack(over)


def test_overlays_replace_add_and_remove(tmp_path: Path) -> None:
    packed = {
        "etc/": "",
        "etc/hosts": "theirs",
        "etc/rc0.d/K01ndppd": "-> x",
        "usr/": "",
        "etc/other": "kept",
    }
    ours = {
        "etc/hosts": Entry(0o644, b"ours"),
        "usr/lib/new/file": Entry(0o644, b"x"),
        "etc/l": Entry(0o777, link="t"),
    }
    assert merged(tmp_path, packed, ours, ("etc/rc?.d/*ndppd",)) == {
        "etc": "dir",
        "etc/hosts": "ours",
        "usr": "dir",
        "etc/other": "kept",
        "etc/l": "-> t",
        "usr/lib": "dir",
        "usr/lib/new": "dir",
        "usr/lib/new/file": "x",
    }


def test_nothing_says_when_or_by_whom_it_was_packed(tmp_path: Path) -> None:
    merged(tmp_path, {"a": "1", "old": "2"}, {"b": Entry(0o644)})
    for name, path, owner in (("system", "./a", 7), ("laid", "./b", 0)):
        with tarfile.open(tmp_path / f"{name}.tar") as tar:
            assert {(m.mtime, m.uname, m.gname) for m in tar} == {(EPOCH, "", "")}
            assert tar.getmember(path).uid == owner


@pytest.mark.parametrize(
    "path",
    [
        "etc/ssh/ssh_host_ed25519_key",
        "var/lib/zerotier-one/identity.secret",
        "var/lib/zerotier-one/authtoken.secret",
        "var/lib/zerotier-one/metricstoken.secret",
        "var/lib/dbus/machine-id",
        "var/lib/systemd/random-seed",
        "usr/sbin/policy-rc.d",
        "etc/.resolv.conf.systemd-resolved.bak",
        "etc/passwd-",
        "var/lib/apt/lists/x_Packages",
        "var/log/dpkg.log",
        "var/lib/dpkg/status-old",
        "dev/null",
    ],
)
def test_leftovers_go(tmp_path: Path, path: str) -> None:
    assert merged(tmp_path, {path: "secret", "etc/passwd": "kept"}, {}) == {"etc/passwd": "kept"}


def test_the_machine_id_is_there_and_empty(tmp_path: Path) -> None:
    assert merged(tmp_path, {"etc/machine-id": "0123"}, {"etc/machine-id": Entry(0o444)}) == {
        "etc/machine-id": "",
        "etc": "dir",
    }


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("var/lib/zerotier-one/identity.secret", "one ZeroTier node"),
        ("var/lib/zerotier-one/authtoken.secret", "one ZeroTier node"),
        ("etc/ssh/ssh_host_rsa_key", "same SSH host key"),
        ("root/.ssh/authorized_keys", "somebody's key"),
        ("root/.bash_history", "history"),
        ("usr/sbin/policy-rc.d", "no service"),
        ("etc/machine-id", "must be empty"),
    ],
)
def test_an_overlay_with_a_secret_stops_the_build(tmp_path: Path, path: str, why: str) -> None:
    with pytest.raises(BuildError, match=why) as e:
        merged(tmp_path, {}, {path: Entry(0o600, b"secret")})
    assert f"/{path}" in e.value.message


def test_a_secret_that_a_package_brings_stops_the_build_too(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="authorized_keys"):
        merged(tmp_path, {"root/.ssh/authorized_keys": "key"}, {})


def test_a_directory_must_not_replace_a_link(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="a directory /bin, which is a link"):
        merged(tmp_path, {"bin": "-> usr/bin"}, {"bin/ztgate": Entry(0o755)})


def test_a_file_must_not_replace_a_directory(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="a file /etc, which is a directory"):
        merged(tmp_path, {"etc/": ""}, {"etc": Entry(0o644)})


@pytest.mark.parametrize(
    ("ours", "remove", "why"), [({"a": Entry(0o644)}, (), "an overlay replaces"), ({}, ("a",), "removes")]
)
def test_a_hard_link_to_what_goes_is_noticed(
    tmp_path: Path, ours: dict[str, Entry], remove: tuple[str, ...], why: str
) -> None:
    with pytest.raises(BuildError, match=f"/b is a hard link to /a, which .*{why}"):
        merged(tmp_path, {"a": "1", "b": "=> ./a"}, ours, remove)


def test_a_directory_that_is_there_is_left_alone_but_for_a_mode_of_its_own(tmp_path: Path) -> None:
    ours = {"etc/x": Entry(0o644), "root": Entry(0o700, directory=True)}
    merged(tmp_path, {"etc/": "", "root/": ""}, ours)
    assert unpack(tmp_path / "laid.tar") == {"etc/x": "", "root": "dir"}


def test_what_debugfs_is_asked(tmp_path: Path) -> None:
    ours = {
        "etc/hosts": Entry(0o600, b"x"),
        "etc/link": Entry(0o777, link="to x"),
        'etc/a "b': Entry(0o644),
        "root": Entry(0o700, directory=True),
        "new/f": Entry(0o644),
    }
    members = [entry.member(path, EPOCH) for path, entry in with_parents(ours).items() if path != "etc"]
    assert list(patch.script(members, {"etc/hosts", "root", "etc"}, Path("/s"))) == [
        'cd "/etc"',
        'write "/s/0" "a ""b"',
        'rm "/etc/hosts"',
        'cd "/etc"',
        'write "/s/1" "hosts"',
        'symlink "/etc/link" "to x"',
        'mkdir "/new"',
        'sif "/new" mode 040755',
        'cd "/new"',
        'write "/s/4" "f"',
        'sif "/root" mode 040700',
    ]
    with pytest.raises(BuildError, match="a name with a line break"):
        list(patch.script([Entry(0o644).member("etc/a\nb", EPOCH)], (), Path("/s")))


def test_hygiene_leaves_packages_alone() -> None:
    kept = [
        "etc/ssh/sshd_config",
        "etc/machine-id.d/x",
        "var/lib/zerotier-one/zerotier-cli",
        "var/log/journal",
        "run",
        "tmp",
    ]
    assert [path for path in kept if hygiene.is_leftover(path)] == []


def test_overlays_are_rendered_or_copied(tmp_path: Path) -> None:
    trees = make_tree(
        tmp_path,
        {
            "one/etc/hostname.j2": "{{ image.hostname }}\n",
            "one/etc/plain": "{{ not a template }}",
            "one/etc/link": "-> plain",
            "two/etc/plain": "later wins",
            "two/.modes": "# modes\n0600 etc/plain\n0700 etc/dir/\n",
        },
    )
    entries = overlay.collect(trees, ["one", "two"], CONTEXT)
    assert entries == {
        "etc/hostname": Entry(0o644, b"gate\n"),
        "etc/plain": Entry(0o600, b"later wins"),
        "etc/link": Entry(0o777, link="plain"),
        "etc/dir": Entry(0o700, directory=True),
    }
    assert overlay.collect(trees, ["one"], CONTEXT)["etc/plain"].data == b"{{ not a template }}"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"o/etc/x.j2": "{{ nothing }}"}, "overlays/o/etc/x.j2: 'nothing' is undefined"),
        ({"o/etc/x.j2": "a\n{% if %}"}, "overlays/o/etc/x.j2:2: "),
        ({"o/.modes": "0600 etc/x"}, "overlays/o/.modes:1: the overlay has no file etc/x"),
        ({"o/.modes": "\nrw etc/x"}, "overlays/o/.modes:2: 'rw etc/x': `0600 etc/path` is needed"),
    ],
)
def test_a_bad_overlay_is_named(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(BuildError) as e:
        overlay.collect(make_tree(tmp_path, files), ["o"], CONTEXT)
    assert message in e.value.message


def test_a_missing_overlay(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="there is no overlays/nix"):
        overlay.verify(tmp_path, ["nix"])


def test_a_tree_packs_to_the_same_bytes_under_any_umask(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "t", {"a/b": "1", "c": "-> a/b"})
    (tree / "a/b").chmod(0o755)
    tar_of_tree(tree, tmp_path / "1.tar", EPOCH)
    (tree / "a").chmod(0o700)
    (tree / "a/b").chmod(0o700)
    tar_of_tree(tree, tmp_path / "2.tar", EPOCH)
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()
    assert unpack(tmp_path / "1.tar") == {"a": "dir", "a/b": "1", "c": "-> a/b"}


def test_the_manifest_lists_what_is_installed() -> None:
    status = (
        "Package: b\nStatus: install ok installed\nVersion: 2\nDescription: x\n more: y\n\n"
        "Package: a\nStatus: deinstall ok config-files\nVersion: 1\n"
    )
    assert dpkg.installed(status) == {"b": "2"}


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ('debugfs 1.47.2 (1-Jan-2025)\ndebugfs: cd "/etc"\nAllocated inode: 12\n\n', ""),
        ("write: Could not allocate block in ext2 filesystem\n", "write: Could not allocate block"),
    ],
)
def test_what_debugfs_could_not_do_is_an_error(tmp_path: Path, said: str, error: str) -> None:
    loader = make_tree(tmp_path / "tools", {"usr/lib64/ld-linux-x86-64.so.2": f"#!/bin/sh\necho '{said}'\n"})
    (loader / "usr/lib64/ld-linux-x86-64.so.2").chmod(0o755)
    with tarfile.open(tmp_path / "laid.tar", "w") as tar:
        append(tar, {"etc/hosts": Entry(0o644, b"x"), "etc/link": Entry(0o777, link="hosts")}, EPOCH)
    bad = pytest.raises(BuildError, match=error) if error else contextlib.nullcontext()
    with bad:
        patch.apply(
            Tools(loader, EPOCH), tmp_path / "disk", 0, tmp_path / "laid.tar", (), tmp_path / "scratch"
        )
    assert [path.name for path in (tmp_path / "scratch").iterdir()] == ["0"]
