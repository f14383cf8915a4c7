"""What is in the root file system, and above all what is not."""

import datetime
import hashlib
import json
import re
from pathlib import Path

import pytest
import yaml

from .conftest import Disk, Root

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = "/etc/systemd/system"
KERNELS = {"vps-amd64": "linux-image-cloud-amd64", "rpi-arm64": "linux-image-arm64"}


@pytest.mark.parametrize(
    ("directory", "pattern"),
    [
        ("/var/lib/zerotier-one", r".*\.secret|identity\..*|.*\.pid|.*\.port|networks\.d|peers\.d"),
        ("/etc/ssh", r"ssh_host_.*"),
        ("/var/lib/dbus", r"machine-id"),
        ("/var/lib/systemd", r"random-seed|credential\.secret"),
        ("/root", r"\.bash_history"),
        ("/root/.ssh", r".*"),
        ("/home", r".*"),
        ("/usr/sbin", r"policy-rc\.d|.*\.REAL"),
        ("/var/lib/apt/lists", r".*Packages.*|.*Release.*"),
        ("/var/cache/apt/archives", r".*\.deb"),
        ("/var/log", r".*\.log|syslog"),
        ("/var/log/journal", r".*"),
        ("/etc", r".*-|\.pwd\.lock|.*\.dpkg-.*|\.resolv\.conf.*"),
        ("/etc/apt/apt.conf.d", r".*mmdebstrap"),
        ("/usr/share/ztgate", r"gateway\.yaml"),
        ("/tmp", r".*"),
        ("/run", r".*"),
        ("/dev", r".*"),
        ("/", r"zerotier\.deb|bootstrap\.tar|.*\.tar"),
    ],
)
def test_nothing_says_who_it_is_or_how_it_was_made(root: Root, directory: str, pattern: str) -> None:
    names = root.names(directory) - {"lost+found"}
    assert [name for name in names if re.fullmatch(pattern, name)] == []


def test_the_machine_id_is_empty(root: Root) -> None:
    entry = root.stat("/etc/machine-id")
    assert entry is not None
    assert entry.size == 0


def test_nobody_has_a_password(root: Root) -> None:
    for line in root.text("/etc/shadow").splitlines():
        name, password = line.split(":")[:2]
        assert password in ("*", "!", "!*", "!!"), name


@pytest.mark.parametrize(
    ("path", "kind", "mode"),
    [
        ("/etc/shadow", "regular", 0o640),
        ("/root", "directory", 0o700),
        ("/boot/firmware", "directory", 0o700),
        ("/tmp", "directory", 0o1777),
        ("/usr/bin/ztgate", "regular", 0o755),
        ("/usr/sbin/zerotier-one", "regular", 0o755),
        ("/usr/sbin/ndppd", "regular", 0o755),
        ("/usr/sbin/nft", "regular", 0o755),
        ("/usr/bin/tcpdump", "regular", 0o755),
        ("/usr/bin/traceroute", "symlink", 0o777),
        ("/usr/sbin/conntrack", "regular", 0o755),
        ("/usr/sbin/sfdisk", "regular", 0o755),
        ("/usr/sbin/resize2fs", "regular", 0o755),
        ("/usr/sbin/fsck.fat", "regular", 0o755),
        ("/usr/lib/ztgate/gateway.schema.json", "regular", 0o644),
        ("/usr/libexec/ztgate-page", "regular", 0o755),
        ("/usr/lib/systemd/system/ztgate-page.socket", "regular", 0o644),
        ("/usr/lib/ztgate/ztgate/page/templates/page.html.j2", "regular", 0o644),
        ("/dev", "directory", 0o755),
    ],
)
def test_what_must_be_there(root: Root, path: str, kind: str, mode: int) -> None:
    entry = root.stat(path)
    assert entry is not None, f"{path} is missing"
    assert (entry.kind, oct(entry.mode)) == (kind, oct(mode))
    assert entry.owner[0] == 0


@pytest.mark.parametrize(
    ("target", "unit"),
    [
        ("multi-user.target", "zerotier-one.service"),
        ("multi-user.target", "systemd-networkd.service"),
        ("multi-user.target", "ztgate.service"),
        ("multi-user.target", "ztgate-update-check.service"),
        ("paths.target", "ztgate-watch.path"),
        ("paths.target", "ztgate-late.path"),
        ("sockets.target", "ssh.socket"),
        ("timers.target", "ztgate.timer"),
        ("timers.target", "ztgate-late.timer"),
        ("sysinit.target", "systemd-resolved.service"),
        ("sysinit.target", "systemd-timesyncd.service"),
        ("sysinit.target", "nftables.service"),
    ],
)
def test_units_that_are_enabled(root: Root, target: str, unit: str) -> None:
    assert unit in root.names(f"{SYSTEM}/{target}.wants")
    assert root.stat(f"/usr/lib/systemd/system/{unit}"), f"{unit} does not exist"


def test_what_can_wait_is_started_by_ztgate_late_alone(root: Root) -> None:
    late = root.text("/usr/lib/systemd/system/ztgate-late.target")
    wanted = next(line for line in late.splitlines() if line.startswith("Wants="))
    for unit in wanted.removeprefix("Wants=").split():
        assert root.stat(f"/usr/lib/systemd/system/{unit}"), f"{unit} does not exist"
        for directory in (SYSTEM, "/usr/lib/systemd/system"):
            assert unit not in root.names(f"{directory}/multi-user.target.wants")


def test_links_to_units_lead_somewhere(root: Root) -> None:
    for directory in [
        SYSTEM,
        *(f"{SYSTEM}/{name}" for name in root.names(SYSTEM) if name.endswith(".wants")),
    ]:
        for name in root.names(directory):
            entry = root.stat(f"{directory}/{name}")
            if entry is not None and entry.kind == "symlink":
                target = root.link(f"{directory}/{name}")
                assert target == "/dev/null" or root.stat(target), f"{directory}/{name} leads to {target}"


@pytest.mark.parametrize("name", ["ndppd", "unbound"])
def test_servers_that_ztgate_starts_do_not_start_by_themselves(root: Root, name: str) -> None:
    for level in range(7):
        assert not [link for link in root.names(f"/etc/rc{level}.d") if name in link]
    assert name not in root.names("/etc/init.d")
    assert root.link(f"{SYSTEM}/{name}.service") == "/dev/null"
    assert f"{name}.service" not in root.names(f"{SYSTEM}/multi-user.target.wants")


def test_the_resolver_has_the_roots_key_and_none_of_its_own(root: Root) -> None:
    """Keys that are made when a package is installed would be the same on all machines."""
    assert "DNSKEY" in root.text("/usr/share/dns/root.key")
    assert not [name for name in root.names("/etc/unbound") if name.endswith((".key", ".pem"))]
    assert root.link(f"{SYSTEM}/unbound-resolvconf.service") == "/dev/null"


def test_needless_timers_do_not_run(root: Root) -> None:
    wanted = root.names(f"{SYSTEM}/timers.target.wants") | root.names(f"{SYSTEM}/multi-user.target.wants")
    assert not {name for name in wanted if name.startswith(("apt-daily", "e2scrub"))}


def test_nothing_holds_the_boot(root: Root) -> None:
    assert "network-online.target.wants" not in root.names(SYSTEM)
    text = root.text(f"{SYSTEM}/systemd-networkd-wait-online.service.d/ztgate.conf")
    assert "--any" in text
    assert "--timeout=30" in text


def test_the_tun_module_is_loaded(root: Root) -> None:
    texts = [root.text(f"/etc/modules-load.d/{name}") for name in root.names("/etc/modules-load.d")]
    assert any(re.search(r"^tun$", text, re.MULTILINE) for text in texts)


def test_router_advertisements_are_accepted_while_it_forwards(root: Root) -> None:
    text = root.text("/etc/systemd/network/80-wan.network")
    assert re.search(r"^IPv6AcceptRA=yes$", text, re.MULTILINE)
    assert re.search(r"^DHCP=yes$", text, re.MULTILINE)


def test_names_are_resolved_by_resolved(root: Root) -> None:
    assert root.link("/etc/resolv.conf") == "../run/systemd/resolve/stub-resolv.conf"
    assert root.text("/etc/hostname") == "ztgate\n"


def test_ssh_takes_keys_only(root: Root) -> None:
    texts = "\n".join(
        root.text(f"/etc/ssh/sshd_config.d/{name}") for name in root.names("/etc/ssh/sshd_config.d")
    )
    assert re.search(r"^PasswordAuthentication no$", texts, re.MULTILINE)


def test_cloud_init_asks_the_providers_in_the_right_order(vps: Disk) -> None:
    root = vps.root
    said = yaml.safe_load(root.text("/etc/cloud/cloud.cfg"))
    order = said["datasource_list"]
    assert order.index("ConfigDrive") < order.index("NoCloud")  # DigitalOcean
    assert "None" not in order  # else it would run where there is no provider
    assert said["ssh_deletekeys"] is False
    assert said["users"] == []


def test_what_cloud_init_reads_is_one_mapping(root: Root) -> None:
    """It takes a file that it cannot parse for an empty one, and says so in its own log only."""
    names = [f"/etc/cloud/cloud.cfg.d/{name}" for name in root.names("/etc/cloud/cloud.cfg.d")]
    read = [yaml.safe_load(root.text(name)) for name in ("/etc/cloud/cloud.cfg", *names)]
    assert all(isinstance(said, dict) for said in read if said is not None)
    assert {"datasource_list", "cloud_init_modules", "users", "system_info"} <= set(read[0])


def test_imagers_user_is_made_without_a_password(pi: Disk) -> None:
    said = yaml.safe_load(pi.root.text("/etc/cloud/cloud.cfg"))
    assert said["users"] == ["default"]
    assert said["system_info"]["default_user"]["lock_passwd"] is True
    assert said["datasource_list"] == ["NoCloud"]


def test_cloud_init_has_little_to_parse(root: Root) -> None:
    """It reads all of it a dozen times at first boot: a thousand characters are 250 million instructions."""
    names = [f"/etc/cloud/cloud.cfg.d/{name}" for name in root.names("/etc/cloud/cloud.cfg.d")]
    assert sum(len(root.text(name)) for name in ("/etc/cloud/cloud.cfg", *names)) < 1500


def test_updates_come_from_debian_with_security(root: Root) -> None:
    text = root.text("/etc/apt/sources.list")
    for suite in ("trixie main", "trixie-updates main", "trixie-security main"):
        assert suite in text


def test_firstboot_is_there_whole_and_compiled(root: Root) -> None:
    sources = [p for p in (ROOT / "firstboot").rglob("*.py") if "__pycache__" not in p.parts]
    for path in sources:
        place = f"/usr/lib/ztgate/{path.relative_to(ROOT / 'firstboot')}"
        assert root.read(place) == path.read_bytes(), f"{place} differs: build the image again"
        directory, name = place.rsplit("/", 1)
        code = root.read(f"{directory}/__pycache__/{name.removesuffix('.py')}.cpython-313.pyc")
        entry = root.stat(place)
        assert entry is not None
        # PEP 552: flags 0 mean that time and size of the source are what byte-code is checked by.
        assert code[4:8] == bytes(4)
        assert int.from_bytes(code[8:12], "little") == entry.mtime
        assert int.from_bytes(code[12:16], "little") == entry.size


def test_no_file_is_newer_than_the_definition_says(root: Root) -> None:
    date = yaml.safe_load((ROOT / "images/base.yaml").read_text())["date"]
    newest = datetime.datetime.combine(date, datetime.time(), datetime.UTC).timestamp()
    for path in (
        "/etc/fstab",
        "/etc/passwd",
        "/usr/bin/ztgate",
        "/var/lib/dpkg/status",
        "/usr/sbin/zerotier-one",
    ):
        entry = root.stat(path)
        assert entry is not None
        assert entry.mtime <= newest, path


def test_the_manifest_says_what_is_in_it(disk: Disk, root: Root) -> None:
    path = disk.path.with_suffix(".manifest.json")
    if not path.exists():
        pytest.skip("there is no manifest beside the image")
    manifest = json.loads(path.read_text())
    with disk.path.open("rb") as f:
        assert manifest["sha256"] == hashlib.file_digest(f, "sha256").hexdigest()
    assert manifest["packages"]["zerotier-one"] == manifest["zerotier"]["version"]
    assert {"ndppd", "nftables", KERNELS[disk.name], "cloud-init"} <= set(manifest["packages"])
    assert not {name for name in manifest["packages"] if "grub" in name}
    sources = root.names("/etc/apt/sources.list.d")
    assert ("zerotier.sources" in sources) == (manifest["zerotier"]["source"] == "repository")
