"""When the controller may be asked: a few times a second, and ever more seldom while that leads nowhere.

Trouble is remembered over the runs of one boot: ztgate.timer, and whatever else starts ztgate, comes by more
often than a controller in trouble should be asked.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from . import store
from .errors import WaitingError, ZtgateError
from .paths import Paths
from .wait import Clock

# Requests a second. Central allows a free account 20 (docs.zerotier.com/api/central/v1), and this gateway may
# not be its only client.
RATE = 10.0
# Each request that led nowhere makes the next pause this much longer. So recovery is noticed within half of
# the time that the trouble has lasted, or within the longest pause.
GROWTH = 1.5
# Seconds of pause for each request of a round. With the growth before it, that makes fewer than 60 in the
# first hour, however many of them a round takes (test_an_hour_of_trouble).
PER_REQUEST = 130.0
LONGEST = 300.0  # seconds between two rounds of few requests, where a controller was reached
LONGEST_ASKED_FOR = 86400.0  # seconds; a Retry-After beyond a day is a mistake
LONGEST_REST = 30.0  # seconds between two rounds that ask nothing: something else may have changed
TRIES = 3  # of one request in one round


class UnavailableError(WaitingError):
    """The controller gave no answer, or none that counts.

    asked_for: seconds that it wants to be left alone. reached: whether it was the controller that failed.
    """

    def __init__(self, message: str, hint: str, *, asked_for: float = 0.0, reached: bool = True) -> None:
        super().__init__(message, hint)
        self.asked_for = asked_for
        self.reached = reached


@dataclass(frozen=True)
class Trouble:
    """Rounds that asked and led nowhere.

    about: the configuration that it was with. asked: requests so far. until: seconds since boot before which
    nothing is asked. failed: somebody has to do something. message and hint: what people were told.
    """

    about: str = ""
    asked: int = 0
    until: float = 0.0
    failed: bool = False
    reached: bool = True
    message: str = ""
    hint: str = ""

    def error(self) -> ZtgateError:
        """What was said then: it is still so, as far as is known."""
        return (ZtgateError if self.failed else WaitingError)(self.message, self.hint)


def pause(asked: int, this_round: int, reached: bool) -> float:
    """Seconds until the next round: after so many requests in all, and so many in the last one."""
    longest = max(LONGEST if reached else 0.0, PER_REQUEST * this_round)
    return min(longest, GROWTH ** min(asked, 50))


class Calls:
    """Counts requests, round by round. Every Api of a run shares one of these."""

    def __init__(
        self,
        paths: Paths,
        clock: Clock,
        *,
        dry_run: bool = False,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.clock = clock
        self._paths, self._dry_run, self._jitter = paths, dry_run, jitter
        self._file = paths.run_dir / "trouble.json"
        self._free = 0.0  # when the next request may go out
        self._asked, self._answered, self._held, self._patient = 0, False, False, False
        self._failed: UnavailableError | None = None
        self._trouble = Trouble()

    def begin(self, *, patient: bool) -> None:
        """A round begins. patient=False is for people, who want to see now whether it works."""
        self._asked, self._answered, self._held, self._patient = 0, False, False, patient
        self._failed = None
        self._trouble = self._load()

    @property
    def tries(self) -> int:
        """How often one request may be tried: once where it is known not to work."""
        return TRIES if self._answered or not self._trouble.asked else 1

    def ask(self) -> None:
        """Before each request: wait for its turn; the error of before when it is too early for a round."""
        if self._patient and not self._asked and self.clock.now() < self._trouble.until:
            self._held = True
            raise self._trouble.error()
        if self.clock.now() < self._free:
            self.clock.sleep(self._free - self.clock.now())
        self._free = self.clock.now() + 1 / RATE
        self._asked += 1

    def answered(self) -> None:
        """A request got its answer."""
        self._answered, self._failed = True, None

    def failed(self, error: UnavailableError) -> None:
        """A request got none."""
        self._failed = error

    def end(self, error: ZtgateError | None) -> None:
        """A round has ended; None: with a gateway that is ready."""
        if self._held:
            return
        if isinstance(error, UnavailableError):
            self._failed = error
        passing = isinstance(error, WaitingError) and not self._failed
        if error is None or (passing and self._asked):
            self._save(Trouble())
        elif self._asked:
            self._save(self._after(error))
        elif passing and not self._trouble.reached:
            # The cable, say: with it, the way to the controller may have come back.
            self._save(replace(self._trouble, until=0.0))

    def rest(self, usual: float) -> float:
        """Seconds until the next round: not the usual ones where the controller is what is waited for."""
        left = self._trouble.until - self.clock.now()
        return min(left, LONGEST_REST) if left > 0 and (self._held or self._asked) else usual

    def _after(self, error: ZtgateError) -> Trouble:
        reached = self._failed.reached if self._failed else True
        asked_for = min(self._failed.asked_for, LONGEST_ASKED_FOR) if self._failed else 0.0
        asked = self._trouble.asked + self._asked
        seconds = max(asked_for, pause(asked, self._asked, reached) * self._jitter(0.85, 1.0))
        return Trouble(
            about=self._about(),
            asked=asked,
            until=self.clock.now() + seconds,
            failed=not isinstance(error, WaitingError),
            reached=reached,
            message=error.message,
            hint=error.hint,
        )

    def _about(self) -> str:
        """Another configuration, another chance: it may be what was wrong."""
        contents = [store.read_bytes(path) or b"" for path in self._paths.configs]
        return hashlib.sha256(b"\0".join(contents)).hexdigest()[:16]

    def _load(self) -> Trouble:
        data = store.read_json(self._file)
        known = {key: data[key] for key in Trouble.__dataclass_fields__ if key in data}
        return Trouble(**known) if known.get("about") == self._about() else Trouble()

    def _save(self, trouble: Trouble) -> None:
        before, self._trouble = self._trouble, trouble
        if self._dry_run or trouble == before:
            return
        if trouble.asked:
            store.write(self._file, json.dumps(asdict(trouble)).encode(), 0o600)
        else:
            self._file.unlink(missing_ok=True)
