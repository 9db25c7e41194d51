"""One frame of one part → a verdict with everything that is recorded of it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from inspector.config import EngineName
from inspector.core.errors import EngineError, InspectorError
from inspector.core.part import PartId
from inspector.core.verdict import Reason, Verdict, rejected
from inspector.decision import judge, verdict
from inspector.engine import Backend, Choice, Network, NetworkPool, choose_detector, verify_again
from inspector.inspection.sight import Sight
from inspector.recipe import Recipe, load_recipe
from inspector.vision import CupOutline, OrientationReference, PixelError, Refusal, heat_on_cup
from inspector.vision.pixels import Raw

_PROVE_EVERY_NS = 60 * 10**9
"""As long as a fault of the engine may go unseen; a proof keeps a worker as long as one cup."""


@dataclass(frozen=True, slots=True, eq=False)
class Examination:
    """What looking at one frame brought.

    Attributes:
        verdict: about the part.
        picture: 384×384×3 uint8 RGB to keep of a part that is not clean; None where the frame shows no cup.
        heat: 384×384 float32 normalised heat on that picture, None where it was not compared.
        stages_ns: time of each stage, ns.
        fault: what failed, in words; empty when nothing did.
    """

    verdict: Verdict
    picture: NDArray[np.uint8] | None
    heat: NDArray[np.float32] | None
    stages_ns: dict[str, int]
    fault: str = ""


class _Networks(NamedTuple):
    """What looks at a frame, from its first look to its last."""

    choice: Choice
    background: Network


class Judge:
    """A lane's recipe, loaded and proven, ready to judge frames, several at once.

    An engine that fails while it runs rejects the part at hand. With ``auto`` another that agrees with the
    recipe then takes over, each at most once; an engine that was named is never replaced. One that no longer
    agrees with the golden images has failed as well: see :meth:`prove`.

    Raises:
        RecipeError: a file of the recipe is missing or changed.
        EngineError: a network cannot be loaded or disagrees with the golden images.
    """

    def __init__(
        self,
        recipe_folder: Path,
        models: Path,
        pool: NetworkPool,
        engine: EngineName = "auto",
        *,
        hurried: bool = False,
        on_engine: Callable[[Choice], None] = lambda _choice: None,
    ) -> None:
        self._recipe: Recipe = load_recipe(recipe_folder, models)
        self._pool, self._wanted, self._on_engine = pool, engine, on_engine
        self._failed: dict[Backend, EngineError] = {}
        self._replaceable = engine == "auto"
        self._replacing, self._proving = threading.Lock(), threading.Lock()
        self._disproved: tuple[_Networks, EngineError] | None = None
        self._proofs, self._prove_at_ns = 0, time.monotonic_ns() + _PROVE_EVERY_NS
        self._networks = self._chosen(hurried=hurried)
        orientation = self._recipe.orientation
        self._reference = OrientationReference.load(orientation) if orientation else None
        self._view = self._recipe.manifest.view

    @property
    def engine(self) -> Choice:
        """What runs the recipe's networks, and why."""
        return self._networks.choice

    def _chosen(self, *, hurried: bool) -> _Networks:
        """The recipe's networks in an engine that has not failed yet."""
        recipe = self._recipe
        background, sha256 = recipe.cup_finder()
        finds: Network | None = None
        while finds is None:
            choice = choose_detector(
                recipe, self._pool, self._wanted, hurried=hurried, failed=self._failed
            )
            try:
                finds = self._pool.load(background, sha256, choice.backend)
            except EngineError as error:
                # What compares cups well and cannot find them is no engine for this recipe either.
                self._failed[choice.backend] = error
                if self._wanted != "auto":
                    raise
        structlog.get_logger().info(
            "engine", recipe=recipe.label, backend=str(choice.backend), why=choice.why
        )
        self._on_engine(choice)
        return _Networks(choice, finds)

    def _replace(self, failed: _Networks, error: EngineError) -> str:
        """After a failure: what is done about it, in words."""
        with self._replacing:
            if self._networks is not failed:
                # Another part failed in the same engine, and it was replaced then.
                return f"{self.engine.backend} has taken over"
            if not self._replaceable:
                return "no other may take over"
            backend = failed.choice.backend
            self._failed[backend] = error
            structlog.get_logger().error("engine_failed", backend=str(backend), why=str(error))
            try:
                self._networks = self._chosen(hurried=True)
            except InspectorError as nothing:
                self._replaceable = False
                return f"no engine is left: {nothing}"
            return f"{self.engine.backend} takes over"

    def prove(self) -> None:
        """Compare the engine with a golden image again, once a minute; to be called when no part waits.

        An engine that has gone wrong without an error would pass whatever comes. If it disagrees, another
        takes over as after a failure; where none may, everything is rejected until the line is restarted.
        """
        if time.monotonic_ns() < self._prove_at_ns or not self._proving.acquire(blocking=False):
            return
        try:
            networks = self._networks
            verify_again(self._recipe, networks.choice.detector, self._proofs)
        except EngineError as error:
            # Before another is opened, which takes seconds: nobody may pass on this one meanwhile.
            self._disproved = networks, error
            told = self._replace(networks, error)
            structlog.get_logger().error("engine_disproved", why=str(error), then=told)
        finally:
            self._proofs += 1
            self._prove_at_ns = time.monotonic_ns() + _PROVE_EVERY_NS
            self._proving.release()

    @property
    def label(self) -> str:
        """Name, version and hash of the recipe."""
        return self._recipe.label

    def cups(self, sight: Sight, raw: Raw, pixel_format: str) -> tuple[CupOutline, ...]:
        """All cups in a frame; see :func:`inspector.vision.locate`."""
        networks = self._networks
        try:
            return sight.locate(raw, pixel_format, networks.background.run)
        except EngineError as error:
            self._replace(networks, error)
            raise

    def examine(
        self,
        sight: Sight,
        part: PartId,
        raw: Raw,
        pixel_format: str,
        outline: CupOutline | None,
    ) -> Examination:
        """Judge one part by its frame. Never raises: whatever fails is a reject with its reason.

        Args:
            sight: finds the cup; nobody else may look with it meanwhile.
            part: the part the frame belongs to.
            raw: the frame's pixels.
            pixel_format: PFNC name.
            outline: the cup meant, in free run.
        """
        stages: dict[str, int] = {}
        networks = self._networks
        try:
            examination = self._examine(sight, networks, part, raw, pixel_format, outline, stages)
            if self._disproved is not None and self._disproved[0] is networks:
                raise self._disproved[1]
            return examination
        except PixelError as error:
            return Examination(rejected(part, Reason.NO_CUP), None, None, stages, str(error))
        except EngineError as error:
            text = f"{error}; {self._replace(networks, error)}"
            return Examination(rejected(part, Reason.ENGINE_ERROR), None, None, stages, text)
        except Exception as error:  # noqa: BLE001 - a part that breaks the engine must not stop the line
            text = f"{type(error).__name__}: {error}"
            return Examination(rejected(part, Reason.ENGINE_ERROR), None, None, stages, text)

    def _examine(
        self,
        sight: Sight,
        networks: _Networks,
        part: PartId,
        raw: Raw,
        pixel_format: str,
        outline: CupOutline | None,
        stages: dict[str, int],
    ) -> Examination:
        cup = sight.prepare(
            raw, pixel_format, networks.background.run, self._reference, outline, self._view
        )
        stages |= cup.stage_ns
        if isinstance(cup, Refusal):
            picture = None
            if cup.outline is not None:
                picture = sight.centred_view(raw, pixel_format, cup.outline)
            return Examination(rejected(part, cup.reason), picture, None, stages)
        began = time.perf_counter_ns()
        distance = networks.choice.detector.distances([cup.view])[0]
        compared = time.perf_counter_ns()
        judgement = judge(
            distance, self._recipe.calibration, lambda heat: heat_on_cup(heat, self._view, cup.lean)
        )
        stages["detector"] = compared - began
        stages["decision"] = time.perf_counter_ns() - compared
        found = verdict(part, judgement, self.label)
        if not judgement.defective:
            return Examination(found, None, None, stages)
        return Examination(found, cup.image(), judgement.picture, stages)


Examine = Callable[[Sight, PartId, Raw, str, CupOutline | None], Examination]


def refuse_all(fault: str) -> Examine:
    """What judges while no recipe can be used: everything is rejected as ``engine_error``."""

    def examine(_sight: Sight, part: PartId, *_frame: object) -> Examination:
        return Examination(rejected(part, Reason.ENGINE_ERROR), None, None, {}, fault)

    return examine
