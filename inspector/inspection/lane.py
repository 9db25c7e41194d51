"""One lane in the loop: events to its tracker, the tracker's effects to gate, workbench and records."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable

import structlog

from inspector.camera.channel import CameraHealth, CameraState
from inspector.config import LaneSettings
from inspector.core.frame import FrameInfo
from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason, rejected
from inspector.gate import JOB_REFUSED, Incoming, LineState
from inspector.inspection.bookkeeping import Bookkeeping
from inspector.inspection.changeover import Changeover
from inspector.inspection.events import (
    Event,
    Examined,
    GateAnswered,
    GateFailed,
    Located,
    RecipeLoaded,
)
from inspector.inspection.eyes import Eyes
from inspector.inspection.gate_link import GateLink
from inspector.inspection.workbench import Workbench
from inspector.tracking import (
    Closed,
    Crossed,
    Crossing,
    Effect,
    FrameKey,
    Ignored,
    IgnoredWhy,
    Inspect,
    RejectLimits,
    RejectWatch,
    Sighting,
    Timing,
    Tracker,
    Unaccounted,
    Unclaimed,
    UnclaimedWhy,
    Unwatched,
    frame_key,
)
from inspector.vision import CupOutline

QUEUE_LIMIT = 8
"""Parts that may wait for their verdict: more cannot be judged before their deadlines anyway."""
_FROZEN_AFTER = 5
"""So many parts in a row without a frame while the camera says it is well: it is opened anew."""
_PATIENCE_NS = 1_000_000_000
"""After a start the PLC's clock is in doubt until an answer is quick."""
_INCOMPLETE = (
    "frames come incomplete; look at cable, switch and network card (jumbo frames, receive buffers)"
)
_TOO_MANY = (
    "more frames come than can be looked at; lower camera.frame_rate_hz, or free the computer"
)
_ON_THEIR_WAY = 256
"""More parts than are between photo-eye and gate, and then between two exchanges."""


class Lane:
    """Everything the loop does for one lane. Owned by one thread.

    Args:
        settings: the lane's configuration.
        eyes: its camera, and the recipe that judges first.
        gate: its PLC link.
        workbench: where its frames are looked at.
        books: where its parts are recorded.
        changeover: which recipe judges.
        resume: given a session and its count, the last of its parts that needs no row any more: it has
            one, or was there before the line first met the PLC; 0 where there is none.
    """

    def __init__(
        self,
        settings: LaneSettings,
        eyes: Eyes,
        gate: GateLink,
        workbench: Workbench,
        books: Bookkeeping,
        changeover: Changeover,
        resume: Callable[[int, int], int],
    ) -> None:
        part = settings.part
        self.settings = settings
        self.acquisition = eyes.acquisition
        self.gate = gate
        self.books = books
        self._workbench = workbench
        self._changeover = changeover
        self._label = eyes.label
        self._judges_since_ns = 0
        self._resume = resume
        self._log = structlog.get_logger().bind(lane=settings.name)
        self._timing = Timing.from_ms(
            min_interval_ms=part.min_interval_ms,
            travel_ms=part.travel_ms,
            decide_before_ms=part.decide_before_ms,
            frame_timeout_ms=part.frame_timeout_ms,
            eye_error_ms=part.eye_error_ms,
        )
        self._tracker = Tracker(settings.name, self._timing, QUEUE_LIMIT)
        alarm = settings.reject_alarm
        self._rejects = RejectWatch(
            RejectLimits(alarm.in_a_row, alarm.share_percent / 100, alarm.of_parts)
        )
        self._stopped_by_alarm = False
        self._highest: tuple[int, int] | None = None
        self._doubt_since_ns: int | None = None
        self._software = settings.camera.trigger == "software"
        self._triggered = (0, 0)
        self._without_frame = 0
        self._untimed_frames = 0
        self._outcomes: OrderedDict[PartId, Outcome] = OrderedDict()
        # Free run: no photo-eye counts, so this line does, beginning anew with every start.
        self._free_run = settings.camera.trigger == "free_run"
        self._crossing: Crossing | None = None
        self._session = int(time.time())
        # A clock without a battery may stand where it stood at a start before.
        while self._free_run and resume(self._session, 0):
            self._session += 1
        self._counted = 0
        self._unwatched_until_ns: int | None = None
        self._cups: OrderedDict[FrameKey, tuple[CupOutline, ...]] = OrderedDict()
        # A verdict may come while nobody knows what job the PLC has meanwhile; each with when it came.
        self._job_unread: deque[tuple[int, Examined]] = deque()
        self._in_hand: set[PartId] = set()
        self._of_before: set[PartId] = set()

    def healthy(self, now_ns: int) -> bool:
        """Verdicts flow: what the heartbeat to the PLC says.

        In free run it is this line that tells the gate when a part is there, by the PLC's clock.
        """
        if self._free_run and self._doubt_since_ns is not None:
            return False
        return self._tracker.healthy(now_ns)

    # -- events ------------------------------------------------------------------------------------

    def handle(self, event: Event, now_ns: int) -> None:
        """Let the tracker know, and do what it wants done."""
        match event:
            case FrameInfo():
                self._frame(event, now_ns)
            case CameraHealth():
                self._camera(event)
            case GateAnswered(reading=reading):
                self._meet(reading, now_ns)
                counts_anew = self._counts_anew_in_disguise(reading)
                doubt = self._doubt_about_plc_clock(reading, now_ns) or counts_anew
                self.books.plc(up=not doubt, reason=doubt)
                commanded = self._commanded(reading.session) if reading.gate_results else {}
                self.books.gate(reading, commanded, now_ns)
                changes = self._changeover.ask(reading.job)
                if changes:
                    # Should the job come back, so does its label: only this tells what was in hand.
                    self._of_before |= self._in_hand
                    self._say()
                    if self._changeover.job == JOB_REFUSED:
                        nothing = f"the PLC asks for job {reading.job}; name its recipe under jobs"
                        self.books.recipe("none", nothing)
                read_ns = reading.watched_ns - reading.uncertainty_ns
                self._judged_until(now_ns if changes else read_ns, now_ns)
                self._plc(reading, now_ns)
            case GateFailed(reason=reason):
                self.books.plc(up=False, reason=reason)
            case Located():
                self._located(event, now_ns)
            case RecipeLoaded(eyes=eyes):
                if self._changeover.take(event):
                    self._workbench.look_with(self.settings.name, eyes)
                    self._label = eyes.label
                    self._judges_since_ns = now_ns
                    self.books.recipe(eyes.label, eyes.fault)
                self._say()
            case Examined():
                self.books.examined(event)
                if self._free_run:
                    self._job_unread.append((now_ns, event))
                else:
                    self._judged(event, now_ns)

    def _judged(self, event: Examined, now_ns: int) -> None:
        part, key, examination = event.part, event.key, event.examination
        before = part in self._of_before
        self._of_before.discard(part)
        self._in_hand.discard(part)
        other = examination.verdict.recipe not in ("", self._label)
        if before or other or not self._changeover.judging:
            # Another recipe judges by now: what this one says does not count.
            change = rejected(part, Reason.CHANGEOVER)
            self._do(self._tracker.verdict(change, key, now_ns), now_ns)
            return
        if examination.fault:
            self._log.error("examination_failed", number=part.number, fault=examination.fault)
        self._do(self._tracker.verdict(examination.verdict, key, now_ns), now_ns)

    def _judged_until(self, until_ns: int, now_ns: int) -> None:
        """Free run: a verdict counts once the PLC was asked for its job after it.

        Elsewhere a part and the job it is for are told in one answer.
        """
        while self._job_unread and self._job_unread[0][0] <= until_ns:
            self._judged(self._job_unread.popleft()[1], now_ns)

    def tick(self, now_ns: int) -> None:
        """Deadlines."""
        if self._crossing is not None:
            self._crossed(now_ns)
        self._do(self._tracker.tick(now_ns), now_ns)
        # Later than its deadline a verdict is only counted, whatever the job.
        self._judged_until(now_ns - self._timing.decision_ns, now_ns)
        self.gate.allow_heartbeat(self.healthy(now_ns))

    def stop(self, now_ns: int) -> None:
        """Reject and record whatever is open."""
        self._do(self._tracker.stop(now_ns), now_ns)

    def _commanded(self, session: int) -> dict[int, Outcome]:
        """Outcomes of the parts of a count that were commanded lately; in free run all counts are ours."""
        return {
            part.number: outcome
            for part, outcome in self._outcomes.items()
            if self._free_run or part.session == session
        }

    # -- photo-eye and frames ----------------------------------------------------------------------

    def _plc(self, reading: Incoming, now_ns: int) -> None:
        """The PLC's photo-eye events since the last exchange; in free run it counts none."""
        if self._free_run:
            return
        if self._doubt_since_ns is not None:
            return  # what is told now is told again with every exchange, until eight newer parts came
        for eye in reading.photo_eyes:
            session, newest = self._triggered
            # Sessions have no order: a PLC that lost its start counter counts on under a smaller number.
            if self._software and (reading.session != session or eye.number > newest):
                self._triggered = (reading.session, eye.number)
                if now_ns - eye.at_ns < self._timing.window_ns:
                    self.acquisition.trigger()
            effects = self._tracker.photo_eye(reading.session, eye.number, eye.at_ns, now_ns)
            self._do(effects, now_ns)
        watched = self._tracker.watched(reading.session, reading.watched_ns, now_ns)
        self._do(watched, now_ns)

    def _doubt_about_plc_clock(self, reading: Incoming, now_ns: int) -> str:
        """Why no part can be dated; empty while it can, and for a moment: one slow answer is no fault."""
        most_ns = self._timing.clock_error_ns
        if reading.uncertainty_ns <= most_ns:
            self._doubt_since_ns = None
            return ""
        self.books.dropped("exchange_too_slow")
        if self._doubt_since_ns is None:
            self._doubt_since_ns = now_ns
        if now_ns - self._doubt_since_ns < _PATIENCE_NS:
            return ""
        return (
            f"the PLC answers too slowly to say when a part came ({reading.uncertainty_ns / 1e6:.0f} ms); "
            f"see to network and PLC until it answers within {most_ns / 1e6:.0f} ms, or raise "
            "part.min_interval_ms if parts lie farther apart"
        )

    def _meet(self, reading: Incoming, now_ns: int) -> None:
        """A count that is new to this process goes on after the rows that there are of it."""
        session = reading.session
        if self._free_run or self._tracker.has_ended(session):
            return
        if self._highest is None or self._highest[0] != session:
            number = self._resume(session, reading.part_count if self._highest is None else 0)
            self._highest = (session, number)
            self._do(self._tracker.resume_after(session, number, now_ns), now_ns)

    def _counts_anew_in_disguise(self, reading: Incoming) -> str:
        """Why parts get no verdict: the PLC gives them numbers that had theirs; empty while it does not."""
        if self._highest is None:  # in free run
            return ""
        if self._tracker.has_ended(reading.session):
            return (
                f"the PLC counts under session {reading.session} again, which has ended; let its program "
                "take another that was not there before whenever its count begins anew (docs/plc.md)"
            )
        session, number = self._highest
        if reading.part_count >= number:
            self._highest = (session, reading.part_count)
            return ""
        return (
            f"the PLC counts anew under the same session {session}: part {reading.part_count} after "
            f"{number}; let its program change session whenever its count begins anew (docs/plc.md)"
        )

    def _frame(self, frame: FrameInfo, now_ns: int) -> None:
        if not self._free_run:
            self._do(self._tracker.frame(frame, now_ns), now_ns)
            return
        if not frame.timed:
            self.books.dropped("frame_untimed")
            return
        if not frame.complete:
            self._unsearched(_INCOMPLETE, now_ns)
            return
        if self._crossing is None:
            self._crossing = Crossing(
                frame.width,
                self.settings.part.belt_px_per_s,
                self.settings.part.spacing_px,
                self._timing.frame_timeout_ns,
            )
        if not self._workbench.locate(frame):
            self._unsearched(_TOO_MANY, now_ns)

    def _located(self, located: Located, now_ns: int) -> None:
        """Free run: tell the crossing what the frame shows."""
        if located.fault:
            self._log.error("frame_not_searched", fault=located.fault)
            self._unsearched(located.fault, now_ns)
            return
        assert self._crossing is not None
        self.books.searched("", now_ns)
        self._cups[frame_key(located.frame)] = located.cups
        # As long as the ring may hold the frame: looked for in it again, another cup might be found.
        while len(self._cups) > self.settings.camera.ring_slots:
            self._cups.popitem(last=False)
        sightings = [Sighting(cup.x, cup.y, cup.whole) for cup in located.cups]
        self._number(self._crossing.observe(located.frame, sightings), now_ns)

    def _unsearched(self, fault: str, now_ns: int) -> None:
        self.books.dropped("frame_not_searched")
        self.books.searched(fault, now_ns)

    def _crossed(self, now_ns: int) -> None:
        assert self._crossing is not None
        self._number(self._crossing.tick(now_ns), now_ns)
        if self._crossing.settled_ns is not None:
            settled_ns = self._crossing.settled_ns
            self._do(self._tracker.watched(self._session, settled_ns, now_ns), now_ns)

    def _number(self, crossed: Iterable[Crossed | Unwatched], now_ns: int) -> None:
        for event in crossed:
            match event:
                case Unwatched(until_ns=until_ns):
                    self._unwatched_until_ns = until_ns
                    if self._tracker.open_parts:
                        self._count_anew(until_ns, now_ns)
                case Crossed():
                    if self._unwatched_until_ns is not None:
                        self._count_anew(self._unwatched_until_ns, now_ns)
                    self._counted += 1
                    self._do(
                        self._tracker.crossing(self._session, self._counted, event, now_ns), now_ns
                    )

    def _count_anew(self, until_ns: int, now_ns: int) -> None:
        """As after a start: what went by unseen is unknown, so whatever is open is rejected.

        The numbers go on, so that what the gate says of one part cannot be taken for another's.
        """
        self._unwatched_until_ns = None
        self._session = max(self._session + 1, int(time.time()))
        self.books.event("belt_unwatched", {"session": self._session})
        self._log.error(
            "belt_unwatched",
            remedy="frames lie so far apart that a cup may cross between them: look at camera, network and "
            "load, or raise camera.frame_rate_hz",
        )
        self._do(self._tracker.resume_after(self._session, self._counted, now_ns), now_ns)
        self._do(self._tracker.watched(self._session, until_ns, now_ns), now_ns)

    def _outline(self, inspect: Inspect) -> CupOutline | None:
        """Free run: the cup that the part is, among those seen in its frame."""
        if inspect.cup_x_px is None:
            return None
        x = inspect.cup_x_px
        cups = self._cups.get(frame_key(inspect.frame), ())
        return min(cups, key=lambda cup: abs(cup.x - x), default=None)

    def _camera(self, health: CameraHealth) -> None:
        self.books.camera(health)
        if health.state is not CameraState.READY:
            self._without_frame = 0

    # -- effects -----------------------------------------------------------------------------------

    def _do(self, effects: Iterable[Effect], now_ns: int) -> None:
        for effect in effects:
            match effect:
                case Inspect():
                    self._inspect(effect, now_ns)
                case Closed():
                    self._outcomes[effect.part] = effect.verdict.outcome
                    while len(self._outcomes) > _ON_THEIR_WAY:
                        self._outcomes.popitem(last=False)
                    self.gate.command(effect, now_ns)
                    self.books.closed(effect)
                    self._watch_rejects(effect)
                    self._watch_for_frozen_camera(effect)
                case Unclaimed(why=why):
                    self.books.dropped(f"frame_{why}")
                    self._untimed_frames += why is UnclaimedWhy.UNTIMED
                case Ignored(part=part, why=why):
                    self.books.dropped(f"event_{why}")
                    if why in (IgnoredWhy.PART_CLOSED, IgnoredWhy.UNKNOWN_PART):
                        self.books.forget(part)
                case Unaccounted(first=first, last=last):
                    self.books.dropped("parts_unaccounted", last.number - first.number + 1)
                    self._log.error("parts_without_rows", first=first.number, last=last.number)

    def _inspect(self, inspect: Inspect, now_ns: int) -> None:
        # A frame that was late, or whose part was told late, may show the product of before.
        before = inspect.frame.exposed_ns < self._judges_since_ns
        if before or not self._changeover.judging:
            change = rejected(inspect.part, Reason.CHANGEOVER)
            self._do(self._tracker.verdict(change, frame_key(inspect.frame), now_ns), now_ns)
            return
        deadline_ns = inspect.frame.exposed_ns + self._timing.decision_ns
        outline = self._outline(inspect)
        if not self._workbench.examine(inspect.part, inspect.frame, outline, deadline_ns):
            overload = rejected(inspect.part, Reason.OVERLOAD)
            self._do(self._tracker.verdict(overload, frame_key(inspect.frame), now_ns), now_ns)
            return
        self._in_hand.add(inspect.part)

    def _watch_rejects(self, closed: Closed) -> None:
        """Too many rejects: an alarm, and where it is wanted no part may pass until they end."""
        self._rejects.closed(passed=closed.verdict.outcome is Outcome.PASS)
        raised = self._rejects.raised
        stop = bool(raised) and self.settings.reject_alarm.stop
        self.books.reject_alarms(raised, stop=stop)
        self._stopped_by_alarm = stop
        self._say()

    def _say(self) -> None:
        """What the PLC is told of the lane: only ``RUNNING`` lets parts pass."""
        state = LineState.RUNNING
        if self._stopped_by_alarm or self._changeover.job == JOB_REFUSED:
            state = LineState.FAULT
        elif not self._changeover.judging:
            state = LineState.STARTING
        recipe = self._label if self._changeover.judging else ""
        self.gate.say(state, self._changeover.job, recipe)

    def _watch_for_frozen_camera(self, closed: Closed) -> None:
        """Triggers come and frames do not, though the camera answers: only this side can tell."""
        if closed.verdict.reason is not Reason.MISSING_FRAME:
            self._without_frame = self._untimed_frames = 0
            return
        self._without_frame += 1
        if self._without_frame >= _FROZEN_AFTER and self.books.camera_ready:
            reason = (
                f"{_FROZEN_AFTER} parts in a row had no frame though the camera answers; "
                "check the trigger line if this comes back"
            )
            if self._untimed_frames:
                reason = (
                    f"{_FROZEN_AFTER} parts in a row had no frame of which is known when it was exposed; "
                    "if this comes back, take a camera whose clock can be latched (`inspector doctor` says "
                    "whether it can)"
                )
            self._without_frame = self._untimed_frames = 0
            self._log.error("camera_frozen", reason=reason)
            self.books.event("camera_frozen", {"reason": reason})
            self.acquisition.reopen(reason)
