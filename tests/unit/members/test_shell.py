"""The scripts of the member kit that are for a shell, read by shells and by shellcheck."""

import re
import subprocess
from pathlib import Path

import pytest
from ztgate import config, kit

SCRIPTS = [name for name in kit.FILES if name.endswith(".sh")]
READERS = {
    "dash": ["dash", "-n"],
    "bash": ["bash", "--posix", "-n"],
    "shellcheck": ["shellcheck", "--shell=sh"],
}
# What GNU's tools have and those of macOS do not, or have otherwise.
GNU = re.compile(
    r"\b(grep -\w*P|sed -\w*[ir]|date -d|readlink -f|stat -c|timeout \d|xargs -\w*r|cp -a|\w+ --\w+=)"
    r"|\b(mktemp|realpath|seq|tac|nproc|getent|ip) "
)


@pytest.fixture
def text(name: str) -> str:
    return kit.render(name, kit.kit(config.load("network: 8056c2e21c000001\n", "gateway.yaml")))


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("reader", READERS)
def test_it_reads(name: str, reader: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    done = subprocess.run([*READERS[reader], tmp_path / name], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["join-macos.sh"])
def test_nothing_of_gnu_on_a_mac(name: str, text: str) -> None:
    code = [line.split(" # ")[0] for line in text.splitlines() if not line.lstrip().startswith(("#", "--"))]
    assert not [line for line in code if GNU.search(line)]
    assert GNU.search("sed -i s/a/b/ file")
