"""Is the promised false-reject rate kept? ``python -m tests.measure.promises --help``.

Draws n clean pictures, makes a memory bank and a calibration from them alone, and counts how many of all
other clean pictures it rejects; again and again. Prints a table. These others are not all clean cups there
are, so that a promise that holds in 95 % of draws exactly would be seen kept in somewhat fewer: the table
says in how many. A bank that keeps all its patches sees a
picture as the nearest of its pictures does, so the distances of every picture to every other are taken
once (kept in ``--kept``) and a draw is a choice among them. For ``--reduced`` draws banks as large as the
line's are really learned.
"""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import betabinom
from torch import Tensor

from inspector.decision import Calibration, heat_map, image_score, normalised
from inspector.detector.calibrating import calibrate_left_out, position_scale, radius_scale
from inspector.detector.datasets import clean_files
from inspector.detector.memory_bank import MOST_PATCHES, learn_bank, leave_one_out
from inspector.detector.promise import Promise
from inspector.recipe import Teacher
from tests.measure.teacher_features import NEIGHBOURHOODS, features_of

Maps = NDArray[np.float32]
SCALES = {"polar": radius_scale, "whole": position_scale}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clean", type=Path, nargs="+", required=True, help="folders")
    parser.add_argument("--view", choices=NEIGHBOURHOODS, default="polar")
    parser.add_argument("--counts", type=int, nargs="+", default=[5, 20, 84])
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--reduced", type=int, default=20, help="draws of banks that are learned")
    parser.add_argument("--share", type=float, default=0.0, help="score_share")
    parser.add_argument("--wanted", type=float, default=0.01, help="rate asked for")
    parser.add_argument("--teacher", default=Teacher().name)
    parser.add_argument("--kept", type=Path, required=True, help="folder for features")
    parser.add_argument("--models", type=Path, default=Path("models"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    neighbourhood = NEIGHBOURHOODS[given.view]
    parts = [
        features_of(
            clean_files(each),
            given.view,
            given.kept / f"{given.teacher}-{each.name}.npz",
            given.models,
            teacher=given.teacher,
        )[0]
        for each in given.clean
    ]
    features = torch.cat(parts)
    names = "-".join(folder.name for folder in given.clean)
    apart = _apart(features, given.view, given.kept / f"{given.teacher}-apart-{names}.npy")

    def chosen_at(draw: int, count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        order = np.random.default_rng(draw).permutation(len(features))
        return order[:count], order[count:]

    def whole_banks(count: int) -> Iterable[tuple[Maps, Maps]]:
        for draw in range(given.draws):
            mine, others = chosen_at(draw, count)
            among = apart[np.ix_(mine, mine)].astype(np.float32)
            among[np.arange(count), np.arange(count)] = -np.inf
            yield among.max(axis=1), apart[others][:, mine].max(axis=1).astype(np.float32)

    def learned_banks(count: int) -> Iterable[tuple[Maps, Maps]]:
        for draw in range(given.reduced):
            mine, others = (features[torch.from_numpy(each)] for each in chosen_at(draw, count))
            bank = learn_bank(mine, neighbourhood)
            yield leave_one_out(mine, neighbourhood).numpy(), bank.distance_map(others).numpy()

    print(
        "| clean pictures | patches | position scale | draws | promise kept | of an exact one "
        "| false rejects promised | realised, mean | worst | expected at most |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for count in given.counts:
        for scale in (None, SCALES[given.view]):
            _print(f"{count} | all", whole_banks(count), scale, given.wanted, given.share)
    for count in given.counts:
        positions = features.shape[3] * (3 if given.view == "polar" else features.shape[2])
        if given.reduced and count * positions > MOST_PATCHES:
            draws = list(learned_banks(count))
            for scale in (None, SCALES[given.view]):
                _print(f"{count} | {MOST_PATCHES}", draws, scale, given.wanted, given.share)


def _apart(features: Tensor, view: str, kept: Path) -> NDArray[np.float16]:
    """n×n×h×w: how the first picture looks to a bank of the second alone."""
    if kept.is_file():
        apart: NDArray[np.float16] = np.load(kept)
        if len(apart) == len(features):
            return apart
    maps = []
    for number in range(len(features)):
        bank = learn_bank(features[number : number + 1], NEIGHBOURHOODS[view])
        maps.append(bank.distance_map(features).half().numpy())
    apart = np.stack(maps, axis=1)
    np.save(kept, apart)
    return apart


def _print(
    title: str,
    draws: Iterable[tuple[Maps, Maps]],
    scale: Callable[[Maps], Maps] | None,
    wanted: float,
    share: float,
) -> None:
    realised, kept = [], []
    for among, others in draws:
        calibration, promise = calibrate_left_out(among, scale, wanted, share)
        realised.append(_rejected(others, calibration))
        kept.append(realised[-1] <= promise.false_reject_rate)
    print(
        f"| {title} | {'none' if scale is None else scale.__name__} | {len(kept)} "
        f"| {np.mean(kept):.1%} | {_of_an_exact_one(promise, len(others)):.1%} "
        f"| {promise.false_reject_rate:.1%} | {np.mean(realised):.2%} | {max(realised):.1%} "
        f"| {promise.expected_rate:.1%} |",
        flush=True,
    )


def _of_an_exact_one(promise: Promise, others: int) -> float:
    """In which share of draws a promise would be seen kept if clean scores were drawn independently.

    Of that many other pictures as many are rejected as a Beta-binomial distribution says: the share of all
    parts above the k-th of n scores is Beta(n + 1 - k, k), and each of the others is one of all parts.
    """
    above = round(promise.expected_rate * (promise.images + 1))
    rejected = betabinom(others, above, promise.images + 1 - above)
    return float(rejected.cdf(np.floor(promise.false_reject_rate * others)))


def _rejected(maps: Maps, calibration: Calibration) -> float:
    heat = normalised(heat_map(maps, calibration.position_scale), calibration)
    scores = np.array([image_score(one, calibration.score_share) for one in heat])
    return float(np.mean(scores > calibration.image_threshold))


if __name__ == "__main__":
    main()
