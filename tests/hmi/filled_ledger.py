"""A shift's records as a line would leave them, for looking at the page:

python -m tests.hmi.filled_ledger DIRECTORY [--state running|rejecting|empty] [--lanes N]

then ``python -m inspector.hmi --config DIRECTORY/line.yaml --status DIRECTORY/status.json``.
"""

import argparse
import json
import random
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.core.part import PartId
from inspector.core.verdict import Outcome, Reason, Region, Verdict
from inspector.records.archive import PictureArchive
from inspector.records.journal import JournalLine
from inspector.records.ledger import Ledger
from inspector.records.pictures import Picture
from inspector.records.row import LedgerRow
from inspector.records.status import (
    CameraStatus,
    LaneStatus,
    LineState,
    LineStatus,
    PlcStatus,
    write_status,
)

_REASONS = [
    *[Reason.DEFECT] * 12,
    *[Reason.MISSING_FRAME] * 2,
    Reason.NO_CUP,
    Reason.TOO_CLOSE,
    Reason.LATE,
]


def cup_with_stain(chance: random.Random) -> tuple[NDArray[np.uint8], NDArray[np.float32], Region]:
    """A cup from above with its print and one stain, its heat map, and where the stain is."""
    size, centre = 384, (192, 192)
    cup = np.full((size, size, 3), 128, np.uint8)
    for radius, grey in ((184, 205), (172, 232), (150, 214), (120, 224), (96, 236)):
        cv2.circle(cup, centre, radius, (grey, grey, grey - 6), -1, cv2.LINE_AA)
    cv2.ellipse(cup, centre, (135, 135), 0, 200, 320, (20, 80, 150), 9, cv2.LINE_AA)
    cv2.putText(
        cup, "FEST", (140, 205), cv2.FONT_HERSHEY_DUPLEX, 1.2, (20, 80, 150), 2, cv2.LINE_AA
    )
    angle, distance = chance.uniform(0, 2 * np.pi), chance.uniform(20, 130)
    x, y = int(192 + distance * np.cos(angle)), int(192 + distance * np.sin(angle))
    axes = (chance.randint(8, 26), chance.randint(6, 16))
    cv2.ellipse(cup, (x, y), axes, chance.randint(0, 180), 0, 360, (96, 66, 40), -1, cv2.LINE_AA)
    cup = cv2.GaussianBlur(cup, (0, 0), 1.2).astype(np.uint8)
    noise = np.random.default_rng(chance.randint(0, 2**31)).normal(0, 3, cup.shape)
    cup = np.clip(cup + noise, 0, 255).astype(np.uint8)
    rows, columns = np.mgrid[0:48, 0:48].astype(np.float32) * 8 + 4
    reach = 18 + max(axes)
    heat = 0.12 + 0.88 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * reach**2))
    side = 2 * max(axes)
    region = Region(x - side // 2, y - side // 2, side, side, 1.6)
    return cup, heat.astype(np.float32), region


def fill(directory: Path, lanes: tuple[str, ...], parts: int, now_ns: int, seed: int = 1) -> None:
    """Ledger and pictures of ``parts`` parts a lane, the last of them now."""
    chance = random.Random(seed)
    ledger = Ledger(directory)
    archive = PictureArchive(directory, 10**9, 0)
    for lane in lanes:
        lines = []
        for number in range(1, parts + 1):
            bad = chance.random() < 0.04 or number > parts - 2
            reason = chance.choice(_REASONS) if bad else Reason.CLEAN
            if number == parts:
                reason = Reason.DEFECT
            part = PartId(lane, 7, number)
            score = round(chance.uniform(0.1, 0.8), 3)
            regions: tuple[Region, ...] = ()
            if reason is Reason.DEFECT:
                cup, heat, region = cup_with_stain(chance)
                score, regions = round(chance.uniform(1.1, 3.2), 3), (region,)
                if number > parts - 600:
                    archive.store(Picture(part, cup, heat))
            triggered = now_ns - (parts - number) * 420_000_000
            row = LedgerRow(
                verdict=Verdict(
                    part=part,
                    outcome=Outcome.PASS if reason is Reason.CLEAN else Outcome.REJECT,
                    reason=reason,
                    score=score if reason in (Reason.CLEAN, Reason.DEFECT) else None,
                    regions=regions,
                    recipe="festival-02 a91c",
                ),
                commanded_unix_ns=triggered + 96_000_000,
                triggered_unix_ns=triggered,
                latency_ns=96_000_000,
            )
            lines.append(JournalLine(f"{lane}.jsonl", number, number + 1, b"", row))
        ledger.commit(lines)
    ledger.commit(pictures_added=archive.added)
    ledger.close()


def status_of(
    lanes: tuple[str, ...],
    state: LineState,
    now: float,
    started: float,
    line: str = "Hall 3",
    recipe: str = "festival-02",
) -> LineStatus:
    """What such a line writes; with ``rejecting`` the first lane's camera is unplugged."""
    lost = CameraStatus(
        state="lost",
        reason=f"the camera of {lanes[0]} is unplugged; check its cable and its power",
    )
    ready = CameraStatus(state="ready")
    return LineStatus(
        line=line,
        state=state,
        started=started,
        updated=now,
        lanes=tuple(
            LaneStatus(
                name=name,
                recipe=recipe,
                camera=lost if state is LineState.REJECTING and name == lanes[0] else ready,
                plc=PlcStatus(up=True),
                session=7,
                parts_per_s=2.4,
                latency_p50_ms=96.2,
                latency_p99_ms=131.0,
            )
            for name in lanes
        ),
    )


def main() -> None:
    """Fill a directory, then keep the line's status fresh until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--state", choices=["running", "rejecting", "empty"], default="running")
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    directory: Path = arguments.directory
    lanes = tuple(f"lane-{number + 1}" for number in range(arguments.lanes))
    now = time.time()
    directory.mkdir(parents=True, exist_ok=True)
    if arguments.state != "empty":
        fill(directory / "records", lanes, 3000, int(now * 1e9))
    camera = {"producer": "camera.cti"}
    configured = [
        {"name": name, "recipe": "recipe", "camera": camera, "gate": {"base_register": 100 * place}}
        for place, name in enumerate(lanes)
    ]
    settings = {
        "name": "Hall 3",
        "lanes": configured,
        "records": {"directory": "records"},
        "page": {"port": arguments.port},
    }
    (directory / "line.yaml").write_text(json.dumps(settings))
    state = LineState.REJECTING if arguments.state == "rejecting" else LineState.RUNNING
    while True:
        write_status(
            directory / "status.json", status_of(lanes, state, time.time(), now - 3000 * 0.42)
        )
        time.sleep(0.5)


if __name__ == "__main__":
    main()
