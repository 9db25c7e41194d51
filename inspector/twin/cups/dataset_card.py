"""What a data set says about itself: every parameter, for programs and for people."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, Final

import cv2
import numpy as np

from inspector.twin.cups.camera import FRAME_HEIGHT, FRAME_WIDTH
from inspector.twin.cups.cup_types import CUP_TYPES
from inspector.twin.cups.dataset_plan import HELD_OUT_KIND, Share, planned_pictures
from inspector.twin.cups.defect_kinds import DefectKind
from inspector.twin.cups.picture import WET_SHARE

_CARD: Final = """\
# Data set of drawn cups, seed {seed}

{total} pictures of {types} cup types, drawn by the simulated plant of `inspector`: no camera took them. The
shape is that of Truong and Luong, *A non-destructive, autoencoder-based approach to detecting defects and
contamination in reusable food packaging*, §3: many clean training pictures of one cup type, a few of one
single cup of each other type, and test cups with and without defects. The paper gives the sum and the
training pictures; how the test pictures are split is our choice.

    inspector twin dataset --out DIR --seed {seed}

draws the same bytes again with inspector {inspector}, NumPy {numpy} and OpenCV {opencv}.
Fingerprint: `{fingerprint}` (SHA-256 over the truth files, which hold the SHA-256 of every picture).

## What it holds

| type | training pictures | of so many cups | test, clean | test, {kinds} | severities |
|---|---|---|---|{rules}|---|
{rows}

{single}
- Every other picture shows a cup of its own. A cup that is photographed again keeps its wear and print; its
  place, tilt and angle, exposure, sensor noise, the belt below and drops are new.
- Each picture, clean or not, shows a wet cup with a probability of {wet}: drops of water are no defect.
- A defective cup has one defect. The severity, above 0 and up to 1, sets its size and contrast; each kind is
  spread evenly over the severities of its type. Type 01 has mostly distinct mould and cracks, the others more
  that is faint.
- **The held-out kind is `{held_out}`.** It is there for the test alone: no setting, threshold or augmentation
  may be chosen by looking at it.

## Files

MVTec AD's layout in a folder for each cup type: `train/good`, `test/good`, `test/KIND` and
`ground_truth/KIND/NAME_mask.png`; beside it `cup_mask/train/good` and `cup_mask/test/KIND`.

- Frames are PNG, {width}×{height}, RGB of 8 bit, as the camera delivers them: nothing is cut out or
  turned, and the colours between the samples of its RGGB mosaic are filled in.
- Masks are PNG of the same size, grey of 8 bit, 255 where the defect or the cup shows and 0 elsewhere. They
  are exact, for they come from what was drawn.
- `truth-train.json` and `truth-test.json` name for each picture its files with their SHA-256, the cup by its
  seed, the take (which photograph of that cup), the angle of the print, centre and radius of the rim, and the
  defect's kind, severity and area in pixels.
- `dataset.json` holds the parameters above.
"""


def parameters(seed: int, shares: Mapping[str, Share]) -> dict[str, Any]:
    """Everything that decides a data set's bytes, and what its files are, ready for JSON."""
    return {
        "pictures": len(planned_pictures(seed, shares)),
        "seed": seed,
        "software": {
            "inspector": version("inspector"),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
        },
        "frames": {
            "format": "png",
            "width": FRAME_WIDTH,
            "height": FRAME_HEIGHT,
            "channels": "rgb8",
        },
        "masks": {"format": "png", "channels": "grey8", "background": 0, "foreground": 255},
        "wet_share": WET_SHARE,
        "held_out_kind": HELD_OUT_KIND,
        "cup_types": {
            name: {"description": CUP_TYPES[name].description, **asdict(share)}
            for name, share in shares.items()
        },
    }


def card(seed: int, shares: Mapping[str, Share], fingerprint: str) -> str:
    """The data set's README, in Markdown; it says nothing of when or where it was drawn."""
    said = parameters(seed, shares)
    return _CARD.format(
        seed=seed,
        total=said["pictures"],
        types=len(shares),
        **said["software"],
        fingerprint=fingerprint,
        kinds=" | test, ".join(DefectKind),
        rules="|".join("---" for _ in DefectKind),
        rows="\n".join(_row(name, share) for name, share in shares.items()),
        single="\n".join(_single_cups(seed, shares)),
        wet=f"{WET_SHARE:.0%}",
        held_out=HELD_OUT_KIND,
        width=FRAME_WIDTH,
        height=FRAME_HEIGHT,
    )


def _row(name: str, share: Share) -> str:
    low, high = share.severities
    counts = [share.test_defective.get(kind, 0) for kind in DefectKind]
    cells = [name, share.training_pictures, share.training_cups, share.test_clean, *counts]
    return f"| {' | '.join(str(cell) for cell in cells)} | {low} to {high} |"


def _single_cups(seed: int, shares: Mapping[str, Share]) -> Iterator[str]:
    """One line for each cup that was photographed again and again."""
    for name, share in shares.items():
        if share.training_cups == 1:
            pictures = planned_pictures(seed, {name: share})[: share.training_pictures]
            cup, last = pictures[0].seed, pictures[-1].name
            yield f"- The training pictures 000 to {last} of {name} all show the cup of seed {cup}."
