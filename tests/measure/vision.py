"""Measures the way from frame to cup image on cups nobody has seen: ``python -m tests.measure.vision``.

Prints the tables of docs/measurements/vision.md.
"""

import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.verdict import Reason
from inspector.twin.cups import CupPicture, DefectKind, draw_cup, empty_belt
from inspector.vision import (
    CupImage,
    OrientationReference,
    Refusal,
    network_input,
    prepare,
)
from tests.vision.bench import (
    FORMAT,
    TYPES,
    covered,
    difference_deg,
    mosaic,
    reference,
    segment,
    with_print_hidden,
)

_PLAN: tuple[DefectKind | None, ...] = (None,) * len(DefectKind) + tuple(DefectKind)
"""Half of the cups are clean, the other half have each kind of defect equally often."""


@dataclass
class Tally:
    """What one group of cups gave."""

    overlap: list[float] = field(default_factory=list)
    centre_px: list[float] = field(default_factory=list)
    radius_px: list[float] = field(default_factory=list)
    angle_deg: list[float] = field(default_factory=list)
    refused: int = 0
    no_cup: int = 0
    cups: int = 0


def main(cups: int, learned_from: int) -> None:
    """Measure ``cups`` cups a type against references learned from ``learned_from`` clean ones."""
    cv2.setNumThreads(1)
    stages: dict[str, list[int]] = defaultdict(list)
    print(
        "| type | cups | IoU mean | IoU worst | centre px 50 / 99 % | radius px 50 / 99 % "
        "| angle ° 50 / 99 % | worst ° | wrongly refused |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    blanks, others, taken_blank, taken_other = 0, 0, 0, 0
    for number, cup_type in enumerate(TYPES):
        known = reference(cup_type, learned_from)
        tallies = {"clean": Tally(), "defective": Tally()}
        for index in range(cups):
            defect = _PLAN[index % len(_PLAN)]
            severity = 0.3 + 0.7 * (index * 7 % 10) / 9
            picture = draw_cup(cup_type, 500_000 + index, defect=defect, severity=severity)
            _measure(picture, known, tallies["defective" if defect else "clean"], stages)
            if index % 8 == 0:
                blanks += 1
                taken_blank += _taken(with_print_hidden(picture), known)
                others += 1
                other = TYPES[(number + 1 + index // 8 % 3) % len(TYPES)]
                taken_other += _taken(draw_cup(other, 500_000 + index).frame, known)
        # The reference's own zero is arbitrary: the clean cups say where it lies.
        zero = _middle(tallies["clean"].angle_deg)
        for group, tally in tallies.items():
            print(_row(f"{cup_type} {group}", tally, zero))
    found = sum(
        isinstance(
            cup := prepare(mosaic(empty_belt(900 + seed)), FORMAT, segment(), None), CupImage
        )
        or cup.outline is not None
        for seed in range(20)
    )
    print(f"\nprint hidden, angle believed all the same: {taken_blank} of {blanks}")
    print(f"cup of another type, angle believed all the same: {taken_other} of {others}")
    print(f"empty belts on which a cup was seen: {found} of 20\n")
    print("| stage | ms 10 % | ms median |\n|---|---|---|")
    for stage, spent in stages.items():
        print(f"| {stage} | {_ms(spent, 10)} | {_ms(spent, 50)} |")
    total = np.sum(list(stages.values()), axis=0).tolist()
    print(f"| all | {_ms(total, 10)} | {_ms(total, 50)} |")


def _measure(
    picture: CupPicture,
    known: OrientationReference,
    tally: Tally,
    stages: dict[str, list[int]],
) -> None:
    raw, truth = mosaic(picture.frame), picture.truth
    small, size = network_input(raw, FORMAT)
    probability = segment()(small[None])[0, : size[1], : size[0]]
    said, true = probability > 0.5, covered(truth, size) > 0.5
    tally.cups += 1
    tally.overlap.append(float((said & true).sum() / (said | true).sum()))
    result = prepare(raw, FORMAT, segment(), known)
    if isinstance(result, Refusal):
        tally.refused += result.reason is Reason.NO_ORIENTATION
        tally.no_cup += result.reason is Reason.NO_CUP
        return
    assert result.orientation is not None
    outline = result.outline
    tally.centre_px.append(
        float(np.hypot(outline.x - truth.centre_xy[0], outline.y - truth.centre_xy[1]))
    )
    tally.radius_px.append(abs(outline.radius - truth.rim_radius_px))
    tally.angle_deg.append(difference_deg(result.orientation.angle_deg, truth.angle_deg))
    for stage, spent_ns in result.stage_ns.items():
        stages[stage].append(spent_ns)


def _taken(frame: NDArray[np.uint8], known: OrientationReference) -> bool:
    return isinstance(prepare(mosaic(frame), FORMAT, segment(), known), CupImage)


def _middle(angles: list[float]) -> float:
    """Median of angles that all lie near each other."""
    around = angles[0]
    return around + float(np.median([difference_deg(angle, around) for angle in angles]))


def _row(name: str, tally: Tally, zero: float) -> str:
    off = np.abs([difference_deg(angle, zero) for angle in tally.angle_deg])

    def both(values: list[float] | NDArray[np.floating]) -> str:
        return f"{np.percentile(values, 50):.2f} / {np.percentile(values, 99):.2f}"

    return (
        f"| {name} | {tally.cups} | {np.mean(tally.overlap):.4f} | {min(tally.overlap):.4f} "
        f"| {both(tally.centre_px)} | {both(tally.radius_px)} | {both(off)} | {off.max():.2f} "
        f"| {tally.refused + tally.no_cup} |"
    )


def _ms(spent_ns: list[int], percent: float) -> str:
    return f"{np.percentile(spent_ns, percent) / 1e6:.2f}"


if __name__ == "__main__":
    started = time.monotonic()
    main(
        cups=int(sys.argv[1]) if len(sys.argv) > 1 else 112,
        learned_from=int(sys.argv[2]) if len(sys.argv) > 2 else 30,
    )
    print(f"\n{time.monotonic() - started:.0f} s")
