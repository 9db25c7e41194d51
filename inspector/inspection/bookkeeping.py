"""What is kept and shown of one lane: ledger rows, pictures, metrics, status."""

import time
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping, Sequence

import numpy as np
import structlog

from inspector.camera.channel import CameraHealth, CameraState
from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason
from inspector.gate import GateAction, GateCondition, GateWatch, Incoming
from inspector.inspection.events import Examined
from inspector.records.journal import Journal
from inspector.records.pictures import PictureSender
from inspector.records.row import LedgerEvent, LedgerRow
from inspector.records.status import Alarm, CameraStatus, LaneStatus, LineState, PlcStatus
from inspector.telemetry import metrics
from inspector.tracking import Closed, RejectAlarm

_REMEMBERED = 64
_RATE_WINDOW_NS = 10_000_000_000
_LATENCIES = 500
_CAMERA_SILENT_NS = 3_000_000_000
_CAMERA_STARTS_NS = 30_000_000_000
"""By then a camera's process has said that it looks for one, or was ended for hanging."""
_UNSEARCHED_NS = 1_000_000_000
"""Free run: so long no frame may be searched for cups. For one that is not the line has others."""
_UNTIMED = Alarm(
    text="When the camera's frames were exposed cannot be told: none is any part's",
    remedy="take a camera whose clock can be latched; `inspector doctor` says whether it can",
)
_TOO_MANY = {
    RejectAlarm.IN_A_ROW: "Every one of the last parts was rejected",
    RejectAlarm.SHARE: "Too large a share of the last parts was rejected",
}

_SHUT = {
    GateCondition.PLC_STOPPED: (
        "The PLC answers, but its program does not run: the gate rejects every cup",
        "put the PLC into RUN; if it is, see that its program sets READY and counts sequence on",
    ),
    GateCondition.HEARTBEAT_UNSEEN: (
        "The gate does not see the line's heartbeat: it rejects every cup",
        "see that the PLC's program takes this lane's block from where the line writes it, each scan",
    ),
    GateCondition.REJECT_UNCONFIRMED: (
        "A rejected cup was not seen in the reject chute; nothing passes",
        "see to diverter, air and chute, then press reset at the PLC",
    ),
    GateCondition.PASSES_REJECTED: (
        "The gate rejects every cup that the line lets pass ({why})",
        "see that part.travel_ms, decide_before_ms and min_interval_ms fit Travel, Reach and Margin of the "
        "gate's program, and that it takes this lane's results; docs/plc.md says what each reason means",
    ),
}
"""While one of these stands the gate lets nothing pass, whatever it is told."""


class Bookkeeping:
    """The books of one lane.

    Args:
        lane: its name.
        recipe: label of the recipe that judges.
        recipe_fault: why no recipe can be used and everything is rejected; empty when one is.
        journal: takes the rows.
        pictures: takes the pictures of rejects.
    """

    def __init__(
        self,
        lane: str,
        recipe: str,
        recipe_fault: str,
        journal: Journal,
        pictures: PictureSender,
    ) -> None:
        self._lane = lane
        self._recipe = recipe
        self._journal = journal
        self._pictures = pictures
        self._log = structlog.get_logger().bind(lane=lane)
        self._examined: OrderedDict[PartId, Examined] = OrderedDict()
        self._session: int | None = None
        self._counts: Counter[Reason] = Counter()
        self._closed_ns: deque[int] = deque()
        self._latencies_ms: deque[float] = deque(maxlen=_LATENCIES)
        self._camera = CameraStatus(state="starting", reason="")
        self._began_ns = time.monotonic_ns()
        self._camera_heard_ns: int | None = None
        self._timed = True
        self._plc = PlcStatus(up=False)
        self._recipe_fault = recipe_fault
        self._fault = ""
        self._unsearched_since_ns: int | None = None
        self._unsearched = ""
        self._reject_alarms: frozenset[RejectAlarm] = frozenset()
        self._stopped_by_alarm = False
        self._gate_watch = GateWatch()
        self._passed_wrongly = 0
        if recipe_fault:
            self.event("recipe_unusable", {"reason": recipe_fault})
            self._log.error("recipe_unusable", reason=recipe_fault)

    def recipe(self, label: str, fault: str) -> None:
        """Another recipe judges from now on, or none, with the reason."""
        self._recipe, self._recipe_fault, self._fault = label, fault, ""
        kind = "recipe_unusable" if fault else "recipe_changed"
        self.event(kind, {"reason": fault} if fault else {"recipe": label})
        write = self._log.error if fault else self._log.info
        write(kind, recipe=label, reason=fault)

    @property
    def rejecting(self) -> bool:
        """No part can pass at present: no recipe, camera, time or PLC, or the gate is shut or stands."""
        shut = self._stopped_by_alarm or not self._gate_watch.raised.isdisjoint(_SHUT)
        able = self.camera_ready and self._timed and self._plc.up and not self._unsearched
        return bool(self._recipe_fault) or shut or not able

    @property
    def camera_ready(self) -> bool:
        """The camera's last word was that it is well."""
        return self._camera.state == "ready"

    # -- what happens ------------------------------------------------------------------------------

    def examined(self, event: Examined) -> None:
        """Keep what was seen until the part is closed."""
        self._fault = event.examination.fault
        self._examined[event.part] = event
        while len(self._examined) > _REMEMBERED:
            self._examined.popitem(last=False)
        for stage, spent_ns in event.examination.stages_ns.items():
            metrics.STAGE_SECONDS.labels(self._lane, stage).observe(spent_ns / 1e9)
        metrics.STAGE_SECONDS.labels(self._lane, "queue").observe(event.queue_ns / 1e9)

    def searched(self, fault: str, now_ns: int) -> None:
        """Free run: a frame was searched for cups, or why it was not, as "what; remedy".

        While none is searched cups go by unseen: none is a part whose reject would say why.
        """
        if not fault:
            self._unsearched_since_ns, self._unsearched = None, ""
            return
        if self._unsearched_since_ns is None:
            self._unsearched_since_ns = now_ns
        if now_ns - self._unsearched_since_ns >= _UNSEARCHED_NS:
            self._unsearched = fault

    def forget(self, part: PartId) -> None:
        """What was seen of a part that has its command already: nobody asks for it any more."""
        self._examined.pop(part, None)

    def closed(self, closed: Closed) -> None:
        """A part has its command: row, picture, numbers."""
        verdict = closed.verdict
        seen = self._examined.pop(verdict.part, None)
        row = ledger_row(closed, seen, time.time_ns() - time.monotonic_ns())
        self._journal.append(row)
        if verdict.outcome is Outcome.REJECT and seen is not None:
            examination = seen.examination
            if examination.picture is not None:
                self._pictures.send(verdict.part, examination.picture, examination.heat)
        self._session = verdict.part.session
        self._counts[verdict.reason] += 1
        self._closed_ns.append(closed.command_ns)
        metrics.PARTS.labels(self._lane, verdict.outcome, verdict.reason).inc()
        metrics.LAST_VERDICT.labels(self._lane).set_to_current_time()
        if closed.late:
            metrics.DEADLINES_MISSED.labels(self._lane).inc()
        if row.latency_ns is not None:
            metrics.STAGE_SECONDS.labels(self._lane, "total").observe(row.latency_ns / 1e9)
            if verdict.reason in (Reason.CLEAN, Reason.DEFECT):
                self._latencies_ms.append(row.latency_ns / 1e6)

    def dropped(self, what: str, count: int = 1) -> None:
        """Something was thrown away."""
        metrics.DROPPED.labels(self._lane, what).inc(count)

    def event(self, kind: str, details: Mapping[str, str | int | float | bool | None]) -> None:
        """Something happened to the line: into the audit trail."""
        self._journal.append(LedgerEvent(time.time_ns(), kind, self._lane, details))

    def camera(self, health: CameraHealth) -> None:
        """The camera's own word."""
        self._camera_heard_ns = time.monotonic_ns()
        state: str = {CameraState.READY: "ready", CameraState.SEARCHING: "starting"}.get(
            health.state, "lost"
        )
        # A camera that was well and is looked for again is lost, not starting.
        if state == "starting" and self._camera.state != "starting":
            state = "lost"
        reason = health.reason or self._camera.reason if state != "ready" else ""
        self._set_camera(CameraStatus.model_validate({"state": state, "reason": reason}))
        if health.state is CameraState.READY and health.timed != self._timed:
            self._timed = health.timed
            self.event("camera_untimed_over" if self._timed else "camera_untimed", {})
            write = self._log.info if self._timed else self._log.error
            write("camera_untimed", holds=not self._timed)

    def reject_alarms(self, raised: frozenset[RejectAlarm], *, stop: bool) -> None:
        """The alarms for too many rejects that stand now, and whether the gate is shut for them."""
        for alarm in raised ^ self._reject_alarms:
            stands = alarm in raised
            self.event(f"{alarm}_{'raised' if stands else 'over'}", {"gate_shut": stop})
            write = self._log.error if stands else self._log.info
            write("reject_alarm", alarm=str(alarm), stands=stands, gate_shut=stop)
            metrics.REJECT_ALARM.labels(self._lane, alarm).set(stands)
        self._reject_alarms, self._stopped_by_alarm = raised, stop

    def plc(self, *, up: bool, reason: str) -> None:
        """The gate link's own word."""
        if up != self._plc.up:
            self.event("plc_link_up" if up else "plc_link_down", {"reason": reason})
            write = self._log.info if up else self._log.warning
            write("plc_link", up=up, reason=reason)
        self._plc = PlcStatus(up=up, reason=reason)
        metrics.LINK_UP.labels(self._lane, "plc").set(up)

    def gate(self, reading: Incoming, commanded: Mapping[int, Outcome], now_ns: int) -> None:
        """What the gate says it did, beside what it was told; and the state of program, belt and diverter.

        Args:
            reading: of one exchange.
            commanded: outcomes of the parts of its count that have their command, as far back as parts can
                be on their way.
            now_ns: when, host monotonic clock.
        """
        for result in reading.gate_results:
            action, reason = result.action.name.lower(), result.reason.name.lower()
            metrics.GATE_ACTIONS.labels(self._lane, action, reason).inc()
            told = commanded.get(result.number)
            # What was commanded before this process began is not known to it.
            ours = bool(commanded) and result.number >= min(commanded)
            if ours and result.action is GateAction.PASSED and told is not Outcome.PASS:
                metrics.PASSED_WRONGLY.labels(self._lane).inc()
                self._passed_wrongly += 1
                commanded_as = str(told or "nothing")
                self.event("passed_wrongly", {"number": result.number, "commanded": commanded_as})
                self._log.critical("passed_wrongly", number=result.number, commanded=commanded_as)
        before = self._gate_watch.raised
        self._gate_watch.hear(reading, commanded, now_ns)
        for condition in GateCondition:
            holds = condition in self._gate_watch.raised
            if holds != (condition in before):
                self.event(condition if holds else f"{condition}_over", {})
                write = self._log.warning if holds else self._log.info
                write("gate_condition", condition=str(condition), holds=holds)
            metrics.GATE_CONDITION.labels(self._lane, condition).set(holds)

    def _set_camera(self, camera: CameraStatus) -> None:
        if camera.state != self._camera.state:
            self.event(f"camera_{camera.state}", {"reason": camera.reason})
            write = self._log.info if camera.state == "ready" else self._log.warning
            write("camera", state=camera.state, reason=camera.reason)
        self._camera = camera

    # -- what is shown -----------------------------------------------------------------------------

    def status(self, now_ns: int) -> LaneStatus:
        """The lane as the operators' page shows it."""
        heard = self._camera_heard_ns
        if heard is None and now_ns - self._began_ns > _CAMERA_STARTS_NS:
            mute = "the camera's process has not said a word; see the log for what ends it or where it hangs"
            self._set_camera(CameraStatus(state="lost", reason=mute))
        if heard is not None and now_ns - heard > _CAMERA_SILENT_NS and self.camera_ready:
            self._set_camera(
                CameraStatus(
                    state="lost", reason="its process says nothing; it is being started anew"
                )
            )
        while self._closed_ns and now_ns - self._closed_ns[0] > _RATE_WINDOW_NS:
            self._closed_ns.popleft()
        p50, p99 = (
            (float(p) for p in np.percentile(self._latencies_ms, (50, 99)))
            if self._latencies_ms
            else (None, None)
        )
        return LaneStatus(
            name=self._lane,
            recipe=self._recipe,
            camera=self._camera,
            plc=self._plc,
            session=self._session,
            parts=dict(self._counts),
            parts_per_s=len(self._closed_ns) / (_RATE_WINDOW_NS / 1e9),
            latency_p50_ms=p50,
            latency_p99_ms=p99,
            rejecting=self.rejecting,
            alarms=self._alarms(),
        )

    def _alarms(self) -> tuple[Alarm, ...]:
        raised = self._gate_watch.raised
        why = self._gate_watch.why
        alarms = [
            Alarm(text=text.format(why=why and why.name.lower()), remedy=remedy)
            for condition, (text, remedy) in _SHUT.items()
            if condition in raised
        ]
        fault = self._recipe_fault or self._fault
        if fault:
            what, _, remedy = fault.partition("; ")
            alarms.append(Alarm(text=f"Cups cannot be compared: {what}", remedy=remedy))
        if self._unsearched:
            what, _, remedy = self._unsearched.partition("; ")
            alarms.append(Alarm(text=f"Cups are not seen: {what}", remedy=remedy))
        if not self._timed:
            alarms.append(_UNTIMED)
        if self._passed_wrongly:
            alarms.append(
                Alarm(
                    text=f"The gate let parts pass that it was not told to: {self._passed_wrongly}",
                    remedy="stop the belt and see the PLC's program; a restart of the line clears this",
                )
            )
        if GateCondition.BELT_STANDS in raised:
            alarms.append(
                Alarm(
                    text="The belt stands, starts or runs back: cups on it may not pass",
                    remedy="it ends by itself when the belt runs; else see the belt's drive and encoder",
                )
            )
        if self._journal.waiting:
            alarms.append(
                Alarm(
                    text=f"{self._journal.waiting} rows wait because the disk takes nothing",
                    remedy="free disk space now",
                )
            )
        for reject_alarm in sorted(self._reject_alarms):
            shut = "; the gate is shut meanwhile" if self._stopped_by_alarm else ""
            alarms.append(
                Alarm(
                    text=f"{_TOO_MANY[reject_alarm]}{shut}",
                    remedy="look at the last rejects: washing, light, camera and cup type",
                )
            )
        return tuple(alarms)


def line_state(lanes: Sequence[LaneStatus]) -> LineState:
    """What a line of these lanes does while it is not being stopped."""
    if not all(lane.rejecting for lane in lanes):
        return LineState.RUNNING
    # Where something is known to be wrong, whoever waits for the line's start would wait for ever.
    waiting = all(lane.starting for lane in lanes)
    return LineState.STARTING if waiting else LineState.REJECTING


def ledger_row(closed: Closed, seen: Examined | None, wall_minus_monotonic_ns: int) -> LedgerRow:
    """The row of a closed part; host monotonic times become wall-clock times here.

    The stages are those of the part's whole way: from photo-eye to exposure (negative where the camera's
    clock runs a little ahead of the PLC's), over the wire, waiting, looking, and until the command.
    """
    stages: dict[str, int] = {}
    trigger_ns, frame = closed.trigger_ns, closed.frame
    if frame is not None:
        if trigger_ns is not None:
            stages["exposure"] = frame.exposed_ns - trigger_ns
        stages["transfer"] = frame.received_ns - frame.exposed_ns
    if seen is not None:
        stages["queue"] = seen.queue_ns
        stages |= seen.examination.stages_ns
    stages["command"] = closed.command_ns - closed.verdict_ns
    return LedgerRow(
        verdict=closed.verdict,
        commanded_unix_ns=closed.command_ns + wall_minus_monotonic_ns,
        triggered_unix_ns=None if trigger_ns is None else trigger_ns + wall_minus_monotonic_ns,
        exposed_ns=None if frame is None else frame.exposed_ns,
        frame_epoch=None if frame is None else frame.epoch,
        frame_id=None if frame is None else frame.frame_id,
        stages_ns=stages,
        latency_ns=None if trigger_ns is None else closed.command_ns - trigger_ns,
        late=closed.late,
    )
