"""Runs that are killed: a child process plays the story and ends itself with SIGKILL where a seed says.

The child dies at one of the places where a crash could tear things apart: before an fsync or a rename, as a database
transaction begins or commits, or between two parts of a step. The next child goes on in the same folder.
"""

import gc
import multiprocessing
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.context import ForkServerContext
from pathlib import Path

import uvloop
from sqlalchemy import event
from sqlalchemy.engine import Engine

from collector.cli.serve import CYCLES_SOUGHT
from tests.scenarios.run import PROBLEMS, KillSwitch, Run
from tests.scenarios.story import Story, load_story

MAX_POINT = 12  # how many places of a step are counted before it is killed at its end
NEAR_STEPS = 3
RUN_SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class Kill:
    step: int
    point: int  # the how-manieth place of the step
    seed: int

    @classmethod
    def drawn(cls, story: Story, seed: int) -> "Kill":
        """Half of the seeds fall near a moment at which something happens, the others anywhere."""
        choose = random.Random(f"{story.story} {seed}")  # noqa: S311 - to be drawn again, not to be secret
        step = story.step
        last = (story.ends_at - story.begins_at) // step
        index = choose.randint(1, last)
        if story.timeline and choose.random() < 0.5:
            at, _ = choose.choice(story.entries())
            near = (at - story.begins_at) // step + choose.randint(-1, NEAR_STEPS + story.interval // step)
            index = min(max(1, near), last)
        return cls(index, choose.randint(1, MAX_POINT), seed)

    def __str__(self) -> str:
        return f"seed {self.seed}: killed in step {self.step} at place {self.point}"


class Lethal(KillSwitch):
    """Ends the process in the chosen step, or in the first after it that is played, at the chosen place."""

    def __init__(self, kill: Kill) -> None:
        self._kill = kill
        self._is_armed = False
        self._is_held = False
        self._points = 0

    def step(self, index: int) -> None:
        if self._is_armed:
            self._die()
        self._is_armed = index >= self._kill.step

    def point(self) -> None:
        if self._is_armed and not self._is_held:
            self._points += 1
            if self._points >= self._kill.point:
                self._die()

    @contextmanager
    def held(self) -> Iterator[None]:
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False

    def watch(self) -> None:
        """From here on this process dies at the named calls, in whatever thread."""
        for name in ("fsync", "fdatasync", "replace", "rename"):
            setattr(os, name, self._before(getattr(os, name)))
        event.listen(Engine, "begin", lambda _: self.point())
        event.listen(Engine, "commit", lambda _: self.point())

    def _before(self, call: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **kwargs: object) -> object:
            self.point()
            return call(*args, **kwargs)

        return counted

    def _die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def play(path: Path, folder: Path, kill: Kill | None, tolerance: timedelta) -> None:
    """What a child does; outcome and problems are in the folder, what went wrong on stderr and in the exit code."""
    gc.freeze()  # as serve does
    gc.set_threshold(*CYCLES_SOUGHT)
    story = load_story(path)
    switch = KillSwitch()
    if kill is not None:
        switch = Lethal(kill)
        switch.watch()
    run = Run(story, folder, switch, tolerance)
    uvloop.run(run.play())


def play_and_kill(
    context: ForkServerContext, path: Path, folder: Path, *, kill: Kill, tolerance: timedelta
) -> list[str]:
    """Plays a story in a child that is killed, then in another that goes on. Returns what was not as expected."""
    for killing in (kill, None):
        child = context.Process(target=play, args=(path, folder, killing, tolerance))
        child.start()
        child.join(RUN_SECONDS)
        if child.exitcode is None:
            child.kill()
            child.join()
            return [f"still running after {RUN_SECONDS:.0f} s; {kill}"]
        if killing is None and child.exitcode != 0:
            return [f"the run after the kill ended with exit code {child.exitcode}; {kill}"]
        if killing is not None and child.exitcode != -signal.SIGKILL:
            return [f"was to be killed, and ended with exit code {child.exitcode}; {kill}"]
    problems = folder / PROBLEMS
    return [f"{problem}; {kill}" for problem in problems.read_text().splitlines()] if problems.exists() else []


def nursery() -> ForkServerContext:
    """Where children come from that need not load everything first."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.scenarios.killing"])
    return context
