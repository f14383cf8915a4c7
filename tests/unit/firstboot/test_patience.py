"""How often a controller in trouble is asked, how soon its recovery is noticed, what a power cut leaves."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ztgate import http, report, service, store
from ztgate.calls import LONGEST, RATE, Calls, UnavailableError, pause
from ztgate.errors import WaitingError, ZtgateError
from ztgate.secret import Secret

from lab import faults, tls
from lab.tls import Certificate

from .api_world import PowerCut, World, without_ours, world
from .support import GOOD, TOKEN, machine

HOUR = 3600.0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return tls.make(tmp_path_factory.mktemp("tls"), ["localhost"])


@pytest.fixture
def gateway(tmp_path: Path, certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world(tmp_path, certificate, monkeypatch) as made:
        yield made


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    made = machine(tmp_path)
    return Calls(made.paths, made.clock, jitter=lambda low, high: high)


def ask(calls: Calls, requests: int, error: ZtgateError | None) -> bool:
    """A round of so many requests that ends like this; False if it was too early for one."""
    calls.begin(patient=True)
    try:
        for _ in range(requests):
            calls.ask()
    except ZtgateError as held:
        calls.end(held)
        return False
    calls.end(error)
    return True


# Seconds that the controller is away, and at the most from its return until it is asked again.
@pytest.mark.parametrize(
    ("away", "noticed"),
    [(2, 2), (10, 6), (60, 35), (300, 155), (1800, LONGEST)],
    ids=lambda value: f"{value:g}s",
)
def test_recovery_is_noticed_soon(gateway: World, away: float, noticed: float) -> None:
    gateway.faulty.play(faults.status(503))
    gateway.live(away)
    gateway.faulty.mend()
    mended, before = gateway.clock.time, len(gateway.asked)
    assert gateway.live(HOUR) == service.READY
    assert gateway.asked[before] - mended <= noticed


@pytest.mark.parametrize("jitter", [0.85, 1.0])
@pytest.mark.parametrize("requests", [1, 2, 3, 5, 8, 13, 14, 20])
@pytest.mark.parametrize(
    "error", [ZtgateError("no"), UnavailableError("later", ""), UnavailableError("", "", reached=False)]
)
def test_an_hour_of_trouble(calls: Calls, requests: int, error: ZtgateError, jitter: float) -> None:
    """However many requests a round takes before it fails, and though something starts one every 5 s."""
    calls._jitter = lambda *_: jitter
    asked = 0
    for _ in range(int(HOUR / 5)):
        asked += requests if ask(calls, requests, error) else 0
        calls.clock.sleep(5.0)
    assert 2 * requests <= asked < 60


def test_a_failure_that_was_put_into_other_words_counts_as_well(calls: Calls) -> None:
    calls.begin(patient=True)
    calls.ask()
    calls.failed(UnavailableError("later", "", asked_for=600.0))
    calls.end(WaitingError("one of two controllers cannot be asked"))
    calls.clock.sleep(590.0)
    assert not ask(calls, 1, None)


def test_pauses_grow_to_a_limit() -> None:
    taken = [pause(asked, 1, reached=True) for asked in range(1, 100)]
    assert taken[0] < 2 and taken == sorted(taken) and taken[-1] == LONGEST
    assert pause(99, 1, reached=False) < LONGEST < pause(99, 12, reached=True)


def test_retry_after_is_honoured_to_the_second(calls: Calls) -> None:
    assert ask(calls, 1, UnavailableError("later", "", asked_for=7200.0))
    calls.clock.sleep(7190.0)
    assert not ask(calls, 1, None)
    calls.clock.sleep(10.1)
    assert ask(calls, 1, None)


@pytest.mark.parametrize(
    "mended",
    [
        lambda calls: calls._paths.fat_config.write_text(GOOD + "gateway: {name: other}\n"),
        lambda calls: calls._file.unlink(),
        lambda calls: ask(calls, 0, WaitingError("no cable")),
    ],
    ids=["gateway.yaml was changed", "a reboot", "the cable is back"],
)
def test_what_makes_it_worth_asking_at_once(calls: Calls, mended: Callable[[Calls], object]) -> None:
    for _ in range(20):
        ask(calls, 1, UnavailableError("refused", "", reached=False))
        calls.clock.sleep(300.0)
    ask(calls, 1, UnavailableError("refused", "", reached=False))
    assert not ask(calls, 1, None)
    mended(calls)
    assert ask(calls, 1, None)


def test_people_are_served_at_once(gateway: World) -> None:
    gateway.faulty.play(faults.status(503))
    gateway.live(HOUR)
    asked = len(gateway.asked)
    assert service.apply(gateway.boot(), once=True) == service.WAITING
    assert len(gateway.asked) == asked + 1
    gateway.faulty.mend()
    assert service.apply(gateway.boot(), once=True) == service.READY


def test_too_early_a_run_says_what_the_last_one_said(gateway: World) -> None:
    gateway.faulty.play(faults.status(401))
    gateway.live(HOUR)
    service.apply(gateway.boot(), once=True)
    told, asked = report.read(gateway.boot()), len(gateway.asked)
    assert service.apply(gateway.boot(), once=False) == service.FAILED
    assert report.read(gateway.boot()) == told and "(401)" in told["reason"]
    assert len(gateway.asked) == asked


def test_events_that_start_it_often_change_nothing(gateway: World) -> None:
    gateway.faulty.play(faults.status(403), after=3)
    gateway.live(HOUR, timer=20.0)
    assert len(gateway.asked) < 60
    assert "(403)" in gateway.status()[1]


def test_a_refusal_by_ourselves_is_asked_about_as_seldom(gateway: World) -> None:
    """Another gateway's default route: nothing is wrong with the API, but asking helps as little."""
    text = gateway.boot().paths.fat_config.read_text()
    gateway.boot().paths.fat_config.write_text(text.replace("true", "false"))
    gateway.live(HOUR)
    assert gateway.status()[1].endswith("another gateway: 0.0.0.0/0 via 10.66.0.99")
    assert len(gateway.asked) < 60
    gateway.boot().paths.fat_config.write_text(text)
    assert gateway.live(130) == service.READY


def test_a_crash_is_not_repeated_every_time(gateway: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise AttributeError("nobody thought of this")

    monkeypatch.setattr("ztgate.steps.register_gateway.register.choose_address", crash)
    gateway.live(HOUR)
    assert gateway.status() == ("failed", "unexpected: AttributeError: nobody thought of this")
    assert len(gateway.asked) < 60


def test_requests_keep_their_distance(calls: Calls) -> None:
    """Half of what Central allows: a network of a thousand members is renumbered in two minutes."""
    start = calls.clock.now()
    ask(calls, 101, None)
    assert calls.clock.now() - start == pytest.approx(100 / RATE) and RATE <= 10


def test_trouble_with_an_unreadable_memory(calls: Calls) -> None:
    ask(calls, 1, ZtgateError("no"))
    calls._file.write_text("{")
    assert ask(calls, 1, None)


def writes(monkeypatch: pytest.MonkeyPatch, last: int | None) -> list[str]:
    """Watch every write to the disk and to the controller; the power fails right after the `last` one."""
    seen: list[str] = []

    def after(what: str) -> None:
        seen.append(what)
        if last is not None and len(seen) == last:
            raise PowerCut

    def watched(real: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            value = real(*args, **options)
            if what := name(*args):
                after(what)
            return value

        return call

    monkeypatch.setattr(store, "write", watched(store.write, lambda path, *_: str(path)))
    monkeypatch.setattr(store, "overwrite", watched(store.overwrite, lambda path, *_: f"overwrite {path}"))

    def sent(_: http.Api, method: str, path: str, *__: Any) -> str:
        return "" if method == "GET" else f"{method} {path}"

    monkeypatch.setattr(http.Api, "request", watched(http.Api.request, sent))
    return seen


def interrupted(gateway: World, work: Callable[[], object], last: int) -> bool:
    """Whether the power failed during this work, after its `last` write."""
    with pytest.MonkeyPatch.context() as patch:
        writes(patch, last)
        try:
            work()
        except PowerCut:
            gateway.cut_power()
            return True
    return False


@pytest.mark.parametrize("kind", ["central-v1", "self-hosted"])
def test_a_power_cut_after_any_write(gateway: World, kind: str) -> None:
    """One after the other, in one network: set up with a cut, completed, withdrawn, and all is as it was."""
    gateway.configure("localhost", gateway.server.port, kind)
    before, last = gateway.content(), 0
    text = gateway.boot().paths.fat_config.read_text()

    def set_up() -> None:
        gateway.live(600)

    while interrupted(gateway, set_up, last := last + 1):
        assert gateway.live(600) == service.READY, f"after write {last}"
        after = gateway.content()
        targets = [row["target"] for row in after["network"]["routes"]]
        assert len(set(targets)) == len(targets) and without_ours(after) == without_ours(before)
        assert TOKEN not in gateway.boot().paths.fat_config.read_text()
        assert service.withdraw(gateway.boot(), token=Secret(TOKEN)) == service.READY, gateway.status()
        assert gateway.content() == before, f"after write {last}"
        afresh(gateway, text)
    assert last > 20


def test_a_power_cut_after_any_write_of_a_withdrawal(gateway: World) -> None:
    before, last = gateway.content(), 0
    text = gateway.boot().paths.fat_config.read_text()
    again = True
    while again:
        assert gateway.live(600) == service.READY
        last += 1
        again = interrupted(gateway, lambda: service.withdraw(gateway.boot(), token=Secret(TOKEN)), last)
        assert service.withdraw(gateway.boot(), token=Secret(TOKEN)) == service.READY, gateway.status()
        assert gateway.content() == before, f"after write {last}"
        afresh(gateway, text)
    assert last > 5


def afresh(gateway: World, text: str) -> None:
    """The machine as it comes from its image."""
    paths = gateway.boot().paths
    for file in paths.state_dir.iterdir():
        file.unlink()
    paths.fat_config.write_text(text)
    gateway.cut_power()
