"""What is needed of the machine: programs, the Debian packages that have them, why, and for which verbs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from builder.errors import BuildError
from builder.run import CommandError, run, which


@dataclass(frozen=True)
class Need:
    """A program, or with a / in it a file. service: a server that its package would start, and is not to."""

    tool: str
    package: str
    why: str
    verbs: tuple[str, ...]
    service: str = ""

    def missing(self) -> bool:
        """Whether this machine lacks it."""
        if "/" in self.tool:
            return not any(Path(name).exists() for name in self.tool.split(" or "))
        return which(self.tool) is None


SETUP, BUILD, CONFIGURE, DEMO, TEST, BENCH = "setup", "build", "configure", "demo", "test", "bench"
MINISIGN, OPENSSH = "signatures of minisign's", "signatures of OpenSSH's"
MAKING = (BUILD, DEMO, TEST)
PLAYING = (DEMO, TEST)
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg or /usr/share/keyrings/debian-archive-keyring.pgp"
OVMF = "/usr/share/OVMF/OVMF_CODE_4M.fd or /usr/share/OVMF/OVMF_CODE.fd"
AAVMF = "/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd or /usr/share/AAVMF/AAVMF_CODE.fd"

DEBIAN = Path("/etc/debian_version").exists() and not Path("/etc/lsb-release").exists()

NEEDS = (
    Need("mmdebstrap", "mmdebstrap", "makes the root file system", MAKING),
    Need(KEYRING, "debian-archive-keyring", "Debian's keys", MAKING),
    Need("newuidmap", "uidmap", "user namespaces, to build without root", MAKING),
    Need("gpgv", "gpgv", "checks ZeroTier's repository", MAKING),
    Need("dpkg-deb", "dpkg", "reads ZeroTier's package", (CONFIGURE, *MAKING)),
    Need("mcopy", "mtools", "writes gateway.yaml into an image", (CONFIGURE, *MAKING)),
    Need("qemu-system-x86_64", "qemu-system-x86", "runs the gateway", PLAYING),
    Need("qemu-system-aarch64", "qemu-system-arm", "runs an arm64 gateway", PLAYING),
    Need("qemu-img", "qemu-utils", "makes the gateway's disk", PLAYING),
    Need(OVMF, "ovmf", "boots it by UEFI", PLAYING),
    Need(AAVMF, "qemu-efi-aarch64", "boots an arm64 one by UEFI", PLAYING),
    Need("ip", "iproute2", "the virtual internet", PLAYING),
    Need("sysctl", "procps", "the virtual internet's routers", PLAYING),
    Need("dnsmasq", "dnsmasq-base", "its DHCP, DNS and router advertisements", PLAYING),
    Need("knotd", "knot", "its root name servers", PLAYING, "knot.service"),
    Need("kdig", "knot-dnsutils", "asks them, and the gateway's resolver", PLAYING),
    Need("curl", "curl", "asks its web servers", (*PLAYING, BENCH)),
    Need("ping", "iputils-ping", "asks from outside", PLAYING),
    Need("ssh", "openssh-client", "looks into the gateway", PLAYING),
    Need("ssh-keygen", "openssh-client", "signs what is exported", (OPENSSH, TEST)),
    Need("minisign", "minisign", "signs what is exported", (MINISIGN, TEST)),
    Need("openssl", "openssl", "the controller's certificates", PLAYING),
    Need("debugfs", "e2fsprogs", "looks into an image", PLAYING),
    Need("sfdisk", "fdisk", "looks at its partitions", PLAYING),
    Need("nft", "nftables", "tries the firewall's rules", (TEST,)),
    Need("ndppd", "ndppd", "tries the IPv6 proxy", (TEST,)),
    Need("unbound", "unbound", "tries the resolver", (TEST,), "unbound.service"),
    Need("iperf3", "iperf3", "measures what gets through the gateway", (TEST,)),
    Need("tcpdump", "tcpdump", "looks at packets", (TEST,)),
    Need("jq", "jq", "tries the commands for a self-hosted controller", (TEST,)),
    Need("cpio", "cpio", "looks into the initrd", (TEST,)),
    Need("zstd", "zstd", "looks into the initrd", (TEST,)),
    Need("mkfs.vfat", "dosfstools", "makes a disk for cloud-init", (TEST,)),
    Need("mount", "mount", "mounts a disk that must not be flashed then", (TEST,)),
    Need("shellcheck", "shellcheck", "checks shell scripts", (TEST,)),
    Need("gpg", "gpg", "signs a repository of its own", (TEST,)),
    Need("systemd-analyze", "systemd", "judges how a unit is closed in", (TEST,)),
    Need("/usr/share/lynis/include/functions", "lynis", "looks at a gateway's defences", (TEST,)),
    Need("mkosi", "mkosi", "is measured beside ztgate", (BENCH,)),
    Need("debos", "debos", "is measured beside ztgate", (BENCH,)),
    Need("vmdb2", "vmdb2", "is measured beside ztgate", (BENCH,)),
    Need("debootstrap", "debootstrap", "is what these call", (BENCH,)),
    Need("systemd-nspawn", "systemd-container", "is what these call", (BENCH,)),
    Need("losetup", "mount", "is what these call", (BENCH,)),
    # Ubuntu has it as a snap only; there the tests take Playwright's own, see tests/browser.py.
    *([Need("chromium", "chromium", "looks at the gateway's page", (TEST,))] if DEBIAN else []),
)


def missing(verbs: Iterable[str]) -> list[Need]:
    """What these verbs need and the machine lacks; root needs newuidmap only to test what a user builds."""
    wanted = set(verbs)
    root = os.geteuid() == 0 and TEST not in wanted
    return [
        need
        for need in NEEDS
        if wanted & set(need.verbs) and need.missing() and not (root and need.package == "uidmap")
    ]


def ensure(verbs: Iterable[str], say: Callable[[str], None]) -> None:
    """Install what is missing, announced by name; without root or sudo, one error with the command."""
    lacking = missing(verbs)
    if lacking:
        install(lacking, say)


def install(needs: Iterable[Need], say: Callable[[str], None]) -> None:
    """apt-get install, as root or by sudo."""
    needs = list(needs)
    packages = sorted({need.package for need in needs})
    apt = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    reasons = "; ".join(f"{need.package} ({need.why})" for need in needs)
    if which("apt-get") is None:
        raise BuildError(
            f"missing: {reasons}", "ztgate installs them by itself on Debian 12, 13 and Ubuntu 24.04"
        )
    prefix = _privilege()
    if prefix is None:
        raise BuildError(f"missing: {reasons}", f"sudo {' '.join(apt)}")
    say(f"installing {reasons}")
    try:
        services = sorted({need.service for need in needs if need.service})
        if services and which("systemctl") is not None:
            say(f"{', '.join(services)}: masked, so that none runs on this computer (systemctl unmask)")
            run([*prefix, "systemctl", "mask", *services])
        run([*prefix, "apt-get", "update", "-q"], terminal=True)
        run([*prefix, *apt, "-q"], terminal=True)
    except CommandError as e:
        raise BuildError(e.message, "the packages above are needed") from None
    still = [need.package for need in needs if need.missing()]
    if still:
        raise BuildError(f"still missing after apt-get: {', '.join(still)}")


def ensure_venv_module(say: Callable[[str], None]) -> None:
    """Debian keeps what `python3 -m venv` needs in a package of its own."""
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        install([Need("python3", "python3-venv", "ztgate's Python environment", (SETUP,))], say)


def _privilege() -> list[str] | None:
    """How to become root: not at all, by sudo, or None if there is no way."""
    if os.geteuid() == 0:
        return []
    if which("sudo") is None:
        return None
    if sys.stdin.isatty():
        return ["sudo"]
    try:
        run(["sudo", "-n", "true"])
    except CommandError:
        return None
    return ["sudo", "-n"]
