"""The leak gate: every secret of a table is planted, one at a time, and found by name, place and kind."""

import base64
import bz2
import gzip
import io
import lzma
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from builder import gate, leaks, listing
from builder.errors import BuildError
from builder.files import data_extents, sparse_digest
from builder.inputs import file_digest

WHO = leaks.Who(
    "alice", "/home/alice", "workbench", "0123456789abcdef" * 2, ("/srv/ztgate", "/var/tmp/cache")
)
OTHER = b"Zk3Vq9Xw7Lm2Pn5Rb8Tc1Yd4Gf6Hs0Ja"
TOKEN = b"7TqL4uZkD1sX8yPn3bVm6cRw9eGh2jKa"
KEY = b"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n" * 3


def pem(kind: str) -> bytes:
    return b"-----BEGIN " + kind.encode() + b"-----\n" + KEY + b"-----END " + kind.encode() + b"-----\n"


SECRET = b"89e92ceee5:0:" + b"c3" * 64 + b":" + b"a7" * 64
OLD = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n"  # RFC 1421
BEHIND = b"\x7fELF" + bytes(3000)  # a program's beginning: secrets lie anywhere

# where, path, content, what is said of it
PLANTED = [
    ("root", "var/lib/zerotier-one/identity.secret", SECRET, "a ZeroTier identity"),
    ("root", "opt/saved", SECRET, "a ZeroTier identity's secret"),
    ("root", "usr/bin/tool", BEHIND + SECRET + BEHIND, "a ZeroTier identity's secret"),
    ("root", "var/lib/zerotier-one/authtoken.secret", b"abc", "a ZeroTier node's own token"),
    *(
        ("root", "usr/share/x", pem(f"{kind}PRIVATE KEY"), "a private key")
        for kind in ("", "RSA ", "EC ", "DSA ", "ENCRYPTED ", "OPENSSH ")
    ),
    ("root", "usr/share/x.asc", pem("PGP PRIVATE KEY BLOCK"), "a private key"),
    ("root", "usr/share/x.json", pem("PRIVATE KEY").replace(b"\n", b"\\n"), "a private key"),
    ("root", "usr/share/old", OLD + KEY, "a private key"),
    ("root", "usr/share/s", b"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n" + KEY, "a private key"),
    ("root", "root/x.ppk", b"PuTTY-User-Key-File-3: ssh-ed25519\n", "a private key (PuTTY's)"),
    (
        "root",
        "root/minisign.key",
        b"untrusted comment: minisign encrypted secret key\nRWRTY0Iy" + b"A" * 60,
        "a private key (minisign's)",
    ),
    ("root", "root/key.txt", b"AGE-SECRET-KEY-1" + b"Q" * 58, "a private key (age's)"),
    ("root", "etc/wireguard/wg0.conf", b"PrivateKey = " + b"A" * 43 + b"=\n", "a private key (WireGuard's)"),
    ("root", "etc/ssh/ssh_host_ed25519_key", pem("OPENSSH PRIVATE KEY"), "an SSH host key"),
    ("root", "root/.ssh/id_ed25519", b"x", "somebody's key"),
    ("root", "root/.ssh/known_hosts", b"x", "somebody's SSH key or configuration"),
    ("root", "usr/share/id", b"machine 0123456789abcdef0123456789abcdef\n", "this computer's machine-id"),
    ("root", "root/.python_history", b"print()", "a shell's history"),
    ("root", "root/.bash_history", b"ls", "a shell's history"),
    ("root", "root/.local/share/fish/fish_history", b"- cmd: ls", "a shell's history"),
    ("root", "root/.kube/config", b"x", "somebody's access keys"),
    ("root", "srv/me.kdbx", b"x", "somebody's passwords"),
    ("root", "home/pi/.lesshst", b"x", "what somebody read"),
    ("root", "usr/share/crlf.key", pem("PRIVATE KEY").replace(b"\n", b"\r\n"), "a private key"),
    ("root", "usr/share/in.yaml", pem("PRIVATE KEY").replace(b"\n", b"\n      "), "a private key"),
    *(
        (
            "root",
            "usr/share/secret.yaml",
            base64.b64encode(pem(f"{kind}PRIVATE KEY")),
            "a private key (in base64)",
        )
        for kind in ("", "RSA ", "EC ", "OPENSSH ")
    ),
    (
        "root",
        "root/windows.key",
        b"untrusted comment: minisign encrypted secret key\r\nRWRTY0Iy" + b"A" * 60,
        "a private key (minisign's)",
    ),
    ("root", "root/.profile", b"export ZTGATE_TOKEN='" + OTHER + b"'\n", "an API token"),
    ("root", "usr/lib/cloud.py", b"'dop_v1_" + b"a1b2c3d4" * 8 + b"'\n", "an API token"),
    ("root", "usr/lib/map.js", b"key='AIza" + b"Sy-A1_b2" * 4 + b"xyz'\n", "an API token"),
    ("root", "usr/lib/x.py", b"# ghp_" + b"a1B2" * 9 + b"\n", "an API token"),
    ("root", "usr/lib/y.py", b"key = 'AKIAQ3EGTZJLUV7XWN5M'\n", "an API token"),
    ("root", "usr/lib/z.sh", b"curl -H 'Authorization: token " + TOKEN + b"'\n", "an API token"),
    ("root", "srv/copy.yaml", b"controller:\n  token: '" + TOKEN + b"'\n", "an API token"),
    ("root", "usr/share/ztgate/gateway.yaml", b"network: 1\n", "a configuration, perhaps with a token"),
    ("root", "usr/bin/z", BEHIND + TOKEN + BEHIND, "a secret of your gateway.yaml"),
    ("root", "usr/bin/program", b"at /srv/ztgate/overlays/common/x\0", "a path of the build"),
    ("root", "usr/lib/x.pyc", b"/var/tmp/cache/out/x\0", "a path of the build"),
    ("root", "var/log/x", b"in /tmp/mmdebstrap.a1B2c3D4e5/etc\n", "a path of the build"),
    ("root", "usr/bin/hello", b"\0/home/alice/src/hello.c\0", "the builder's home directory"),
    ("root", "etc/mailname", b"workbench.example.com\n", "the builder's host name"),
    ("root", "etc/aliases", b"root: alice\n", "the builder's user name"),
    ("root", "etc/apt/auth.conf.d/9.conf", b"machine x\n", "a password of an apt repository"),
    ("root", "etc/apt/sources.list", b"deb https://a:b@x/ y z\n", "a password of an apt repository"),
    ("root", "etc/apt/apt.conf.d/80proxy", b'Acquire::http::Proxy "http://10.0.0.1:3142";\n', "a proxy"),
    ("root", "etc/environment", b"http_proxy=http://10.0.0.1:3128\n", "a proxy"),
    ("root", "etc/shadow", b"root:$y$j9T$abc$def:20000:0:99999:7:::\n", "a password"),
    ("root", "etc/shadow-", b"pi:!$6$abc$def:20000:0:99999:7:::\n", "a password"),
    ("root", "etc/passwd", b"pi:$6$abc$def:1000:1000::/home/pi:/bin/sh\n", "a password"),
    ("root", "etc/machine-id", b"fedcba9876543210" * 2 + b"\n", "a machine-id"),
    ("root", "etc/wpa_supplicant/wpa.conf", b"network={\n  psk=\"secret\"\n}\n", "the password of a network"),
    ("root", "root/.netrc", b"machine x\n", "somebody's password"),
    ("root", "root/.git-credentials", b"x\n", "somebody's password"),
    ("root", "var/lib/cloud/instance/user-data.txt", b"x", "what cloud-init was told"),
    ("root", "var/lib/ztgate/state.json", b"{}", "the state of a gateway"),
    ("root", "var/log/old.gz", gzip.compress(pem("PRIVATE KEY")), "unpacked: a private key"),
    ("root", "var/x.xz", lzma.compress(b"\n" * 99999 + SECRET), "unpacked: a ZeroTier identity's secret"),
    ("root", "etc/ztgate/old.bz2", bz2.compress(b"http_proxy=http://10.0.0.1:1\n"), "unpacked: a proxy"),
    ("root", "opt/gateway.gz", gzip.compress(b"x: " + TOKEN), "unpacked: a secret of your gateway.yaml"),
    ("fat", "notes.gz", gzip.compress(b"# ghp_" + b"a1B2" * 9), "unpacked: an API token"),
    *(
        ("root", "etc/user-data", base64.b64encode(b"x" * n + TOKEN + b"yz"), "a secret of your gateway.yaml")
        for n in range(3)
    ),
    ("fat", "windows.txt", b"\xff\xfe" + TOKEN.decode().encode("utf-16-le"), "a secret of your gateway.yaml"),
    ("fat", "GATEWAY.YAML", b"network: 1\n", "a configuration, perhaps with a token"),
    ("fat", ".ssh/config", b"x", "somebody's SSH key or configuration"),
    ("fat", "gateway.yaml", b"network: 1\n", "a configuration, perhaps with a token"),
    ("fat", "identity.secret", SECRET, "a ZeroTier identity"),
    ("fat", "notes/key.pem", pem("EC PRIVATE KEY"), "a private key"),
    ("fat", "user-data", b"hostname: workbench\n", "the builder's host name"),
    ("initrd", "", b"x\0" + pem("PRIVATE KEY"), "a private key"),
    ("disk", "", pem("RSA PRIVATE KEY"), "a private key"),
    ("disk", "", b"token " + TOKEN, "a secret of your gateway.yaml"),
]  # fmt: skip
# What Debian's packages have, and may have.
HARMLESS = {
    "usr/bin/ssh-keygen": b"\0-----BEGIN OPENSSH PRIVATE KEY-----\n\0-----END OPENSSH PRIVATE KEY-----\n\0",
    "usr/share/doc/x": b"-----BEGIN RSA PRIVATE KEY-----\n...\n",
    "usr/lib/python3/x.py": b"AWS = 'AKIAIOSFODNN7EXAMPLE'\n",
    "usr/share/y": b"2:0:0 alice in workbench, 1234567890:0:beef\n",  # a word is a word
    "etc/wgetrc": b"#https_proxy = http://proxy.yoyodyne.com:18023/\n",
    "etc/shadow": b"root:*:20000:0:99999:7:::\n",
    "etc/hostname": b"ztgate\n",
    "etc/machine-id": b"",
    "usr/share/doc/token": b"set ZTGATE_TOKEN=, $ZTGATE_TOKEN or ZTGATE_TOKEN=...\n",
    "usr/share/doc/certificate": base64.b64encode(b"-----BEGIN CERTIFICATE-----\n" + KEY),
    "etc/passwd": b"root:x:0:0:root:/root:/bin/bash\n",
    "var/backups/empty.gz": b"",
    "var/log/no.gz": b"not packed at all",
    "var/log/fine.gz": gzip.compress(b"nothing"),
    "usr/lib/ztgate/gateway.schema.json": b'{"token": {"type": ["string", "null"]}}\n',
}
HOLE = 1 << 20


def searched(tmp_path: Path, where: str = "", path: str = "", content: bytes = b"") -> gate.Search:
    """A small image with one thing planted: the disk has the same files as the tar, after a hole."""
    root = HARMLESS | ({path: content} if where == "root" else {})
    tar = tmp_path / "rootfs.tar"
    with tarfile.open(tar, "w") as packed:
        for name, data in root.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    fat = tmp_path / "fat"
    for name, data in {"README.txt": b"hello\n", **({path: content} if where == "fat" else {})}.items():
        (fat / name).parent.mkdir(parents=True, exist_ok=True)
        (fat / name).write_bytes(data)
    initrd = tmp_path / "initrd"
    initrd.write_bytes(b"070701 kernel/x.ko\0" + (content if where == "initrd" else b""))
    disk = tmp_path / "disk.img"
    files = b"".join(data.ljust(4096, b"\0") for data in root.values()) + b"".join(
        file.read_bytes().ljust(512, b"\0") for file in fat.rglob("*") if file.is_file()
    )
    with disk.open("wb") as out:
        out.seek(HOLE)
        out.write(files + bytes(4096) + (content if where == "disk" else b""))
        out.truncate(4 * HOLE)
    members = gate.parts(listing.of_tar(tar))
    return gate.Search(tar, members, (*leaks.CONTENTS, *WHO.rules()), (fat,), initrd, disk, known=(TOKEN,))


def disk_of(search: gate.Search) -> Path:
    assert search.disk
    return search.disk


SHOWN = {
    "root": "root partition: /{path}: {kind}",
    "fat": "FAT partition: /{path}: {kind}",
    "unpacked": "/{path}, {kind}",
    "initrd": "root partition: /initrd.img, unpacked: {kind}",
    "disk": "outside all partitions, at byte {at} (no file has it): {kind}",
}


@pytest.mark.parametrize(
    ("where", "path", "content", "kind"), PLANTED, ids=[f"{where}:/{path}" for where, path, _, _ in PLANTED]
)
def test_what_is_planted_is_found(tmp_path: Path, where: str, path: str, content: bytes, kind: str) -> None:
    search = searched(tmp_path, where, path, content)
    with pytest.raises(BuildError, match="the image would give away what it must not") as e:
        gate.inspect(search)
    data = disk_of(search).read_bytes()
    at = data.find(TOKEN) if TOKEN in content else data.rfind(b"PRIVATE KEY", 0, data.rfind(b"END"))
    shown = SHOWN["unpacked" if kind.startswith("unpacked") else where]
    assert shown.format(path=path, kind=kind, at=at) in e.value.message
    assert "take" in e.value.hint
    assert TOKEN.decode() not in e.value.message  # nor does the error give it away
    # Nothing that is in a file is said to be on the disk only.
    assert where == "disk" or "no file has it" not in e.value.message


def test_where_a_link_leads_is_looked_at(tmp_path: Path) -> None:
    search = searched(tmp_path)
    with tarfile.open(search.tar, "a") as packed:
        link = tarfile.TarInfo("./usr/bin/tool")
        link.type, link.linkname = tarfile.SYMTYPE, "/srv/ztgate/overlays/common/usr/bin/tool"
        packed.addfile(link)
    with pytest.raises(BuildError, match="a path of the build"):
        gate.inspect(replace(search, members=gate.parts(listing.of_tar(search.tar))))


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    assert gate.inspect(searched(tmp_path)) == gate.Report(())


def test_what_was_baked_in_is_listed_and_passes(tmp_path: Path) -> None:
    path, content = "usr/share/ztgate/gateway.yaml", b"controller: {token: " + TOKEN + b"}\n"
    search = replace(searched(tmp_path, "root", path, content), allowed=(path,))
    lines = {finding.line() for finding in gate.inspect(search).on_purpose}
    assert lines == {
        f"root partition: /{path}: a configuration, perhaps with a token",
        f"root partition: /{path}: a secret of your gateway.yaml",
        f"root partition: /{path}: an API token",
    }


def test_a_second_copy_of_what_was_baked_in_does_not_pass(tmp_path: Path) -> None:
    path, content = "usr/share/ztgate/gateway.yaml", b"controller: {token: " + TOKEN + b"}\n"
    search = replace(searched(tmp_path, "root", path, content), allowed=(path,))
    with disk_of(search).open("r+b") as disk:
        disk.seek(3 * HOLE)
        disk.write(TOKEN)
    with pytest.raises(BuildError, match=f"at byte {3 * HOLE}"):
        gate.inspect(search)


ALWAYS = {"this computer's machine-id", "a path of the build"}


@pytest.mark.parametrize(
    ("user", "home", "host", "kinds"),
    [
        ("root", "/root", "localhost", ALWAYS),
        ("me", "/home/me", "vm", {*ALWAYS, "the builder's home directory"}),
    ],
)  # fmt: skip
def test_names_that_everybody_has_are_not_looked_for(
    user: str, home: str, host: str, kinds: set[str]
) -> None:
    who = replace(WHO, user=user, home=home, host=host)
    assert {rule.kind for rule in who.rules()} == kinds


def test_facts_of_this_machine(tmp_path: Path) -> None:
    who = leaks.who(tmp_path, Path("/"))
    assert who.places == (str(tmp_path.resolve()),)  # and not /, which is everywhere
    assert who.home.startswith("/")


@pytest.mark.parametrize("end", [0, 5])
def test_a_checksum_has_the_holes_in_it(tmp_path: Path, end: int) -> None:
    disk = disk_of(searched(tmp_path))
    with disk.open("r+b") as f:
        f.truncate(4 * HOLE + end)
    assert sparse_digest(disk) == file_digest(disk)
    (tmp_path / "empty").touch()
    assert sparse_digest(tmp_path / "empty") == file_digest(tmp_path / "empty")


def test_holes_are_not_read(tmp_path: Path) -> None:
    extents = data_extents(disk_of(searched(tmp_path)))
    assert sum(end - start for start, end in extents) < HOLE
    assert extents[0][0] == HOLE
