"""Where things are on the appliance; a different root lets tests run beside a real system."""

from __future__ import annotations

from pathlib import Path


class Paths:
    """Every path that ztgate reads or writes.

    State that outlives a reboot is in state_dir and zerotier_home, nowhere else.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root
        self.fat = root / "boot/firmware"
        self.cloud_config = root / "etc/ztgate/gateway.yaml"
        self.fat_config = self.fat / "gateway.yaml"
        self.fat_identity = self.fat / "identity.secret"
        self.network_config = self.fat / "network-config"
        self.baked_config = root / "usr/share/ztgate/gateway.yaml"
        # The later source wins whole, so this is searched in order.
        self.configs = (self.cloud_config, self.fat_config, self.baked_config)

        self.state_dir = root / "var/lib/ztgate"
        self.state = self.state_dir / "state.json"
        self.ledger = self.state_dir / "ledger.json"
        self.members = self.state_dir / "members.json"
        self.status_json = self.state_dir / "status.json"
        self.status_text = self.fat / "ztgate-status.txt"
        self.nftables = self.state_dir / "nftables.nft"
        self.authorized_keys = self.state_dir / "root.authorized_keys"

        self.run_dir = root / "run/ztgate"
        self.changed = self.run_dir / "changed"  # left by ztgate-watch for ztgate-watch.path
        self.ndppd_conf = self.run_dir / "ndppd.conf"
        self.learnt = self.run_dir / "learnt.json"
        self.resolver = root / "run/ztgate-dns"
        self.resolver_conf = self.resolver / "unbound.conf"
        self.resolver_names = self.resolver / "names.conf"
        self.root_key = root / "usr/share/dns/root.key"
        self.uplink_resolvers = root / "run/systemd/resolve/resolv.conf"
        self.wifi_control = root / "run/wpa_supplicant"
        self.networkd_run = root / "run/systemd/network"
        self.networkd = (root / "etc/systemd/network", self.networkd_run, root / "usr/lib/systemd/network")
        self.netif_links = root / "run/systemd/netif/links"

        self.zerotier_home = root / "var/lib/zerotier-one"
        # The last one is what Raspberry Pi Imager puts on the card.
        self.cloud_copies = (root / "var/lib/cloud", root / "run/cloud-init", self.fat / "user-data")
        # They quote the lines around a mistake in the user data.
        self.cloud_logs = (root / "var/log/cloud-init.log", root / "var/log/cloud-init-output.log")
        self.cloud_begun = root / "run/cloud-init/status.json"
        self.cloud_result = root / "run/cloud-init/result.json"
        self.cloud_disabled = root / "etc/cloud/cloud-init.disabled"
        self.synchronized = root / "run/systemd/timesync/synchronized"
        self.rtc = root / "sys/class/rtc/rtc0"
        self.build_stamps = (root / "usr/lib/clock-epoch", root / "usr/lib/os-release")
        self.consoles = root / "sys/class/tty/console/active"
        self.tun = Path("/dev/net/tun")
        self.sysctl = Path("/proc/sys")
        self.interfaces = Path("/sys/class/net")

    def wifi(self, interface: str) -> Path:
        """wpa_supplicant's configuration for a wireless interface."""
        return self.run_dir / f"wifi-{interface}.conf"

    @property
    def last_run(self) -> Path:
        """When `ztgate apply` last said how it stands."""
        return self.run_dir / "last-run"

    @property
    def kept_identity(self) -> Path:
        """See steps/keep_identity.py."""
        return self.state_dir / "identity.secret"

    @property
    def status_now(self) -> Path:
        """The status, also where the disk takes nothing any more."""
        return self.run_dir / "status.json"

    @property
    def healed(self) -> Path:
        """See healed.py."""
        return self.run_dir / "healed"

    @property
    def loaded_rules(self) -> Path:
        """What the firewall looked like when it was loaded; see steps/load_firewall.py."""
        return self.run_dir / "rules"

    @property
    def rules(self) -> Path:
        """The script that loads the firewall, and compares."""
        return self.root / "usr/libexec/ztgate-rules"

    @property
    def ready_seconds(self) -> Path:
        """How long it took from the boot until the gateway was ready; there is none before."""
        return self.run_dir / "ready-seconds"

    @property
    def page_dir(self) -> Path:
        """What the page's server may see; see observe/."""
        return self.run_dir / "page"

    @property
    def page_socket(self) -> Path:
        """Where that listens: a drop-in of its socket."""
        return self.root / "run/systemd/system/ztgate-page.socket.d/ztgate.conf"

    @property
    def update_pending(self) -> Path:
        """An update that is under way; see updates/book.py. ztgate-update-check.service looks for it."""
        return self.state_dir / "updates/pending.json"

    @property
    def update_history(self) -> Path:
        """What became of updates."""
        return self.state_dir / "updates/history.json"

    @property
    def update_old(self) -> Path:
        """The packages as they were, to be installed again."""
        return self.state_dir / "updates/old"

    @property
    def update_undone(self) -> Path:
        """That they were; ztgate-update-undo leaves it."""
        return self.state_dir / "updates/undone"

    @property
    def update_undo(self) -> Path:
        """The script that does it."""
        return self.root / "usr/libexec/ztgate-update-undo"

    @property
    def update_preferences(self) -> Path:
        """What counts as an update, for apt."""
        return self.root / "usr/share/ztgate/updates/preferences"

    @property
    def update_held(self) -> Path:
        """Versions that were taken back, for apt."""
        return self.root / "etc/apt/preferences.d/ztgate-held"

    @property
    def update_timer(self) -> Path:
        """When: a drop-in of that unit."""
        return self.root / "run/systemd/system/ztgate-update.timer.d/ztgate.conf"

    @property
    def boot(self) -> Path:
        """Kernels and initrds."""
        return self.root / "boot"

    @property
    def good_kernel(self) -> Path:
        """Those from before an update; see updates/trial.py."""
        return self.boot / "good"

    @property
    def grub_environment(self) -> Path:
        """What GRUB is told; there is none on a Raspberry Pi."""
        return self.boot / "grub/grubenv"

    @property
    def kernel_command_line(self) -> Path:
        """What the kernel was told."""
        return self.root / "proc/cmdline"

    @property
    def boot_id(self) -> Path:
        """Another one at each boot."""
        return self.sysctl / "kernel/random/boot_id"

    @property
    def reboot_required(self) -> Path:
        """Packages' scripts leave it."""
        return self.root / "run/reboot-required"

    @property
    def processes(self) -> Path:
        """proc(5)."""
        return self.root / "proc"
