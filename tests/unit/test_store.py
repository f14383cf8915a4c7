"""Files that several write: each write is whole, and none fails because of another."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ztgate import store

WRITERS, TIMES = 8, 40


def test_several_writers_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "validated"
    contents = {bytes([65 + number]) * (1 + 500 * number) for number in range(WRITERS)}

    def write(content: bytes) -> set[bytes]:
        seen = set()
        for _ in range(TIMES):
            store.write(path, content)
            seen.add(path.read_bytes())
        return seen

    with ThreadPoolExecutor(WRITERS) as pool:
        seen = set().union(*pool.map(write, contents))
    assert seen <= contents
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_power_cut_has_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".status.new").write_bytes(b"half of something that was longer")
    store.write(tmp_path / "status", b"new", 0o600)
    assert (tmp_path / "status").read_bytes() == b"new"
    assert (tmp_path / "status").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / ".status.new").exists()


def test_one_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "run/lock"
    with store.alone(lock) as first, store.alone(lock) as second:
        assert (first, second) == (True, False)
    with store.alone(lock) as afterwards:
        assert afterwards
