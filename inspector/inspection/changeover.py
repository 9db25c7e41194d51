"""From one recipe to another while the line runs, because the PLC asks for another job."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from inspector.gate import JOB_REFUSED
from inspector.inspection.events import RecipeLoaded
from inspector.inspection.eyes import Eyes


class Changeover:
    """Which job a lane does. Owned by the loop; loading has a thread of its own.

    Args:
        lane: its name.
        jobs: recipes by number; 0 is the one the lane starts with.
        load: loads and proves a recipe; takes a second or two, and says in the eyes what went wrong.
        post: tells the loop that it is there.
    """

    def __init__(
        self,
        lane: str,
        jobs: Mapping[int, Path],
        load: Callable[[Path], Eyes],
        post: Callable[[RecipeLoaded], None],
    ) -> None:
        self._lane, self._jobs, self._load, self._post = lane, jobs, load, post
        self._wanted = 0
        self._loading = False
        self._done = 0
        self._refused = False

    @property
    def job(self) -> int:
        """The job that is done, while another is loaded still the one before; `JOB_REFUSED`: it cannot be."""
        return JOB_REFUSED if self._refused else self._done

    @property
    def judging(self) -> bool:
        """The recipe wanted is there, be it one that cannot be used: then its eyes refuse every part."""
        return not self._loading and self._wanted in self._jobs

    def ask(self, job: int) -> bool:
        """The PLC wants this job; True when that is news and a change begins or fails at once."""
        if job == self._wanted:
            return False
        self._wanted = job
        self._refused = job not in self._jobs
        # Whatever is being loaded is not wanted any more; `take` will find that out.
        if not self._refused and not self._loading:
            self._begin()
        return True

    def take(self, event: RecipeLoaded) -> bool:
        """A recipe was loaded; True when it is the one that is wanted now."""
        self._loading = False
        if event.job != self._wanted:
            if self._wanted in self._jobs:
                self._begin()
            return False
        self._refused = bool(event.eyes.fault)
        if not self._refused:
            self._done = event.job
        return True

    def _begin(self) -> None:
        self._loading = True
        job = self._wanted
        threading.Thread(
            target=lambda: self._post(RecipeLoaded(self._lane, job, self._load(self._jobs[job]))),
            name=f"changeover-{self._lane}",
            daemon=True,
        ).start()
