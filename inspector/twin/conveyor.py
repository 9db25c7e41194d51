"""The conveyor: draws fresh cups, puts them on the belt ahead of time, and keeps the truth of each.

Run as a process of its own: ``python -m inspector.twin.conveyor --rig FILE --truth FILE …``. It waits
until the belt is switched on (the rig's start time), then keeps a few cups drawn ahead of the camera.
If drawing falls behind, cups come later; none is ever shown twice or missing its picture. The truth of
every cup goes to a JSON-lines file that only the demo's summary reads; a cup that came later than
announced, since the belt stood, has a second line with its new time.
"""

import json
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from inspector.core.process import die_with_parent
from inspector.twin.cups import CupPicture, CupStream, CupTruth, empty_belt
from inspector.twin.rig import Rig, open_rig

_AHEAD_NS = 250_000_000
"""A cup is published at least this long before it breaks the photo-eye's beam."""
_FOREVER = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Belt:
    """How cups follow each other.

    Attributes:
        rate_hz: cups per second.
        jitter: share of the interval by which a cup may come earlier or later, 0 … 0.4.
        travel_ms: camera to diverter, ms.
    """

    rate_hz: float
    jitter: float
    travel_ms: float


def schedule(belt: Belt, start_ns: int, seed: int) -> Iterator[int]:
    """Photo-eye times in ns: one cup an interval, each at random a little early or late."""
    interval_ns = 1e9 / belt.rate_hz
    random = np.random.default_rng(seed)
    number = 0
    while True:
        yield int(start_ns + interval_ns * (number + random.uniform(-belt.jitter, belt.jitter)))
        number += 1


def truth_row(number: int, eye_ns: int, truth: CupTruth) -> dict[str, object]:
    """What the summary needs to know of a cup, as plain JSON values."""
    return {
        "number": number,
        "eye_ns": eye_ns,
        "cup_type": truth.cup_type,
        "seed": truth.seed,
        "angle_deg": truth.angle_deg,
        "defects": [
            {"kind": str(defect.kind), "severity": defect.severity, "area_px": defect.area_px}
            for defect in truth.defects
        ],
    }


def run_belt(
    rig: Rig,
    cups: Iterator[CupPicture],
    belt: Belt,
    truth_path: Path,
    *,
    parts: int | None,
    seed: int,
    stopping: threading.Event,
) -> int:
    """Publish cups until ``parts`` are through, the rig stops or ``stopping`` is set; return how many."""
    times: Iterator[int] | None = None
    late_ns = 0
    published = 0
    with truth_path.open("w", encoding="utf-8", buffering=1) as truths:
        while (parts is None or published < parts) and rig.running and not stopping.is_set():
            cup = next(cups)
            while (slot := rig.free_image_slot(time.monotonic_ns())) is None:
                if stopping.wait(0.01) or not rig.running:
                    return published
            np.copyto(rig.image(slot), cup.frame)
            if times is None:
                while not rig.belt_on:
                    if stopping.wait(0.01) or not rig.running:
                        return published
                times = schedule(belt, time.monotonic_ns() + 2 * _AHEAD_NS, seed)
            stands_ns = rig.stop_belt_if_asked(time.monotonic_ns())
            if stands_ns:
                late_ns += stands_ns
                for moved in rig.parts_due(0, _FOREVER):
                    truths.write(
                        json.dumps({"number": moved.number, "eye_ns": moved.eye_ns}) + "\n"
                    )
            eye_ns = next(times) + late_ns
            earliest = time.monotonic_ns() + _AHEAD_NS
            if eye_ns < earliest:
                late_ns += earliest - eye_ns
                eye_ns = earliest
            number = rig.publish_part(
                cup_id=cup.truth.seed,
                image_slot=slot,
                eye_ns=eye_ns,
                gate_ns=eye_ns + int(belt.travel_ms * 1e6),
            )
            truths.write(json.dumps(truth_row(number, eye_ns, cup.truth)) + "\n")
            published = number
    return published


def main(
    rig: Annotated[Path, typer.Option(help="rig file of the plant")],
    truth: Annotated[Path, typer.Option(help="JSON-lines file for the truth of every cup")],
    cup_type: Annotated[str, typer.Option("--type", help="cup type on this belt")] = "type-01",
    seed: Annotated[int, typer.Option(help="same seed, same cups")] = 1,
    rate: Annotated[float, typer.Option(min=0.1, max=14, help="cups per second")] = 2.0,
    jitter: Annotated[float, typer.Option(min=0, max=0.4, help="share of the interval")] = 0.1,
    defect_rate: Annotated[
        float, typer.Option(min=0, max=1, help="share of defective cups")
    ] = 0.15,
    travel_ms: Annotated[float, typer.Option(min=1, help="camera to diverter, ms")] = 1200.0,
    parts: Annotated[int | None, typer.Option(min=1, help="stop after so many cups")] = None,
    drawn: Annotated[
        int | None, typer.Option(min=1, help="draw so many; the same come again and again")
    ] = None,
) -> None:
    """Run the belt of one lane."""
    die_with_parent()
    cv2.setNumThreads(1)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with open_rig(rig) as plant:
        np.copyto(plant.background(), empty_belt(seed))
        cups = CupStream(cup_type, seed, defect_rate)
        run_belt(
            plant,
            cups if drawn is None else cycle(list(islice(cups, drawn))),
            Belt(rate_hz=rate, jitter=jitter, travel_ms=travel_ms),
            truth,
            parts=parts,
            seed=seed,
            stopping=stopping,
        )
        stopping.wait()


if __name__ == "__main__":
    typer.run(main)
