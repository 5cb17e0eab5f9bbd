"""What one tab of the browser drives: two trainings in step, A and B, in a thread that listens between two steps.

The thread owns everything. Messages reach it through a queue, so that nothing is read or changed in the middle of a
step, and it stops by itself when the page falls silent.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from playground.look import look, weights_of
from playground.setting import SEED, Refused, difference, read, up_to, value
from playground.training import Training, fingerprint
from playground.words import told
from scratchnet.data import Dataset

SILENCE = 5.0  # seconds without a message: nobody looks, so training pauses,
FORGOTTEN = 300.0  # and after so many the session ends
LOOKS = 0.2  # share of the time that looking at layers may take
PACES = {"slow": 2.0, "walk": 20.0, "full": math.inf}  # steps a second
IMAGES = (2_000, 6_000, 20_000, 60_000)
PATIENCE = 120.0  # seconds that a message waits for its answer


class Session:
    """Two trainings, or one, and what the page may ask of them: the methods without an underscore, but `ask`."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._messages: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self.heard = time.monotonic()
        self._sides: dict[str, Training] = {}
        self._layers: dict[str, list[dict[str, Any]]] = {}
        self._left = 0.0  # steps to go; infinite: until someone says pause
        self._pace = math.inf
        self._generation = 0  # how often a training has begun
        self._why = ""  # why it has paused, if nobody asked for it
        self._look_at, self._look_due = 0.0, False
        self._open = True
        self._thread = threading.Thread(target=self._work, name="playground session", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    @property
    def silent(self) -> float:
        """Seconds since the page was last heard."""
        return time.monotonic() - self.heard

    def ask(self, name: str, **arguments: Any) -> Any:
        """The answer of the method `name`, which the thread calls. Raises Refused, and what the method raises."""
        self.heard = time.monotonic()
        answer: Future[Any] = Future()
        method: Callable[..., Any] = getattr(self, name)
        self._messages.put((lambda: method(**arguments), answer))
        deadline = time.monotonic() + PATIENCE
        while not self.ended and time.monotonic() < deadline:
            try:
                return answer.result(timeout=0.5)
            except TimeoutError:
                self.heard = time.monotonic()  # somebody is waiting
        raise Refused("this session has ended" if self.ended else "the answer takes too long: choose a smaller network")

    # --- messages -----------------------------------------------------------------------------------------------------

    def set(self, seed: Any = 0, images: Any = IMAGES[-1], A: Any = None, B: Any = None) -> dict[str, Any]:
        """Begin anew with these settings; B may be None. Where one is refused, everything stays as it was."""
        seed = value(seed, up_to(SEED, 0), "seed", "seed")
        images = value(images, up_to(IMAGES[-1], IMAGES[0]), "images", "images")
        data = self._dataset.first(images)
        n_in, classes = data.images.shape[1], len(data.classes)
        given = {"A": {} if A is None else A} | ({} if B is None else {"B": B})
        settings = {side: read(fields, side, n_in, classes) for side, fields in given.items()}
        self._begin({side: Training(setting, seed, data) for side, setting in settings.items()})
        return self.frame()

    def rewind(self) -> dict[str, Any]:
        """Back to step 0: the same weights, batches and masks, drawn again from the same seed."""
        self._begin({s: Training(old.setting, old.seed, old.dataset) for s, old in self._sides.items()})
        return self.frame()

    def start(self, pace: Any = "full") -> dict[str, Any]:
        """Train until `pause`, or change the pace."""
        if not isinstance(pace, str) or pace not in PACES:
            raise Refused(f"pace: expected one of {', '.join(PACES)}, got {pace!r}")
        self._pace, self._left, self._why = PACES[pace], math.inf, ""
        return self.frame()

    def step(self, steps: Any = 1) -> dict[str, Any]:
        """Make so many steps, and pause."""
        self._pace, self._left, self._why = math.inf, value(steps, up_to(1000), "steps", "steps"), ""
        while self._running and self._left <= 1:
            self._advance()
        return self.frame()

    def pause(self) -> dict[str, Any]:
        """Stop, after one step more that is looked at."""
        if self._running:
            self._left = 1
            self._advance()
        return self.frame()

    def frame(self, generation: Any = -1, A: Any = 0, B: Any = 0) -> dict[str, Any]:
        """All that is to be shown; of the losses those from number A (or B) on, if `generation` is the present one."""
        since = {"A": A, "B": B} if generation == self._generation else {}
        if self._running:
            self._look_due = time.monotonic() >= self._look_at
        found: dict[str, Any] = {
            "generation": self._generation,
            "running": self._running,
            "over": all(training.over for training in self._sides.values()),
            "why": self._why,
        }
        for side, training in self._sides.items():
            start = since.get(side, 0)
            start = start if isinstance(start, int) and 0 <= start <= training.done else 0
            found[side] = {
                "label": training.setting.label,
                "summary": training.setting.settings.architecture,
                "done": training.done,
                "diverged": training.diverged,
                "since": start,
                "losses": training.losses[start:],
                "judged": training.judged,
                "start": training.start,
                "weights": None if self._running else fingerprint(training.network),
                "seed": training.seed,
                "epoch": len(training.training) / training.setting.settings.batch_size,
                "layers": self._layers[side],
                "told": told(training, self._layers[side]),
            }
        if len(self._sides) == 2:
            a, b = self._sides.values()
            found["differs"], found["difference"] = difference(a.setting, b.setting, a.start == b.start)
        return found

    def close(self) -> None:
        """End the thread."""
        self._open = False

    def _end(self, seconds: float) -> None:
        """End the thread, from another one, and wait for it."""
        self._open = False
        self._messages.put((lambda: None, Future()))
        self._thread.join(seconds)

    # --- the thread ---------------------------------------------------------------------------------------------------

    @property
    def _running(self) -> bool:
        return self._left > 0 and not all(training.over for training in self._sides.values())

    def _work(self) -> None:
        due = 0.0  # when the next step is
        while self._open:
            now = time.monotonic()
            wait = max(0.0, due - now) if self._running else 1.0
            try:
                message, answer = self._messages.get(timeout=wait) if wait else self._messages.get_nowait()
            except queue.Empty:
                if self._running and self.silent > SILENCE:
                    self._left, self._why = 0, "Paused, since the page had not asked for anything for some seconds."
                elif self.silent > FORGOTTEN:
                    self._open = False
                elif self._running:
                    due = max(due + 1 / self._pace, now)
                    self._advance()
                continue
            try:
                answer.set_result(message())
            except BaseException as error:
                answer.set_exception(error)
        self._sides = {}

    def _begin(self, sides: dict[str, Training]) -> None:
        layers = {side: look(training) for side, training in sides.items()}
        self._sides, self._layers = sides, layers
        self._left, self._why = 0, ""
        self._generation += 1

    def _advance(self) -> None:
        """One step of each side, and a look at the layers if one is due, or where it is the last step."""
        wanted, self._look_due = self._look_due or self._left <= 1, False
        began = time.monotonic()
        for side, training in self._sides.items():
            if training.over:
                continue
            before = weights_of(training) if wanted else None
            training.step()
            if wanted or training.over:
                self._layers[side] = look(training, before)
        self._left -= 1
        if wanted:
            now = time.monotonic()
            self._look_at = now + (now - began) / LOOKS
