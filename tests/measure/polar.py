"""How a bank on the polar view is best read: ``python -m tests.measure.polar --help``.

Teaches banks from clean cups in several contrasts and sizes and at several depths of a teacher, divides
distances by nothing, by the greatest clean one at each radius, or by its root (``calibrating.radius_scale``),
and says how many defective cups exceed all but a few clean ones. For choosing: give development cups, never
those that are reported. With several sizes or depths it then says what the teacher alone takes of each, in
turn in one run.
"""

import argparse
import time
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from inspector.detector.calibrating import radius_scale
from inspector.detector.datasets import GOOD, clean_files, labelled_files
from inspector.detector.memory_bank import learn_bank, leave_one_out
from inspector.engine import load_network
from inspector.engine.multiplications import multiplications
from inspector.recipe import Teacher, teacher_path
from tests.measure.teacher_features import adapted, features_of

_ROUNDS = 40
RATES = (0.02, 0.04, 0.08)
Maps = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clean", type=Path, required=True, help="folder, to teach from")
    parser.add_argument("--test", type=Path, required=True, help="data set in MVTec AD's layout")
    parser.add_argument("--more-clean", type=Path, help="folder, to judge as well")
    parser.add_argument("--teacher", default=Teacher().name)
    parser.add_argument("--contrasts", type=float, nargs="+", default=[1.0, 2.0, 4.0, 6.0])
    parser.add_argument(
        "--sizes", nargs="+", default=["224x784"], help="rows x columns of the view"
    )
    parser.add_argument("--depths", type=int, nargs="+", default=[6])
    parser.add_argument("--kept", type=Path, required=True, help="folder for features")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--adapter", type=Path, help="of `inspector adapt`, behind the teacher")
    given = parser.parse_args()
    torch.set_num_threads(1)
    labelled = {one.path: one.kind for one in labelled_files(given.test)}
    parts = {
        "taught": clean_files(given.clean),
        "test": list(labelled),
    }
    if given.more_clean is not None:
        parts["more"] = clean_files(given.more_clean)
    print(
        "| contrast | view | depth | distances divided by | image AUROC "
        "| found at 2 / 4 / 8 % false rejects |"
    )
    print("|---|---|---|---|---|---|")
    sizes = {text: _size(text) for text in given.sizes}
    for contrast, (text, size), depth in product(given.contrasts, sizes.items(), given.depths):
        found = {
            name: features_of(
                files,
                "polar",
                given.kept / f"{given.teacher}-{name}-{contrast:g}-{text}-{depth}.npz",
                given.models,
                depth,
                contrast,
                given.teacher,
                size,
            )
            for name, files in parts.items()
        }
        if given.adapter is not None:
            found = {
                name: (adapted(features, given.adapter), paths)
                for name, (features, paths) in found.items()
            }
        taught = found["taught"][0]
        shown = [each for name, each in found.items() if name != "taught"]
        judged = torch.cat([of for of, _ in shown])
        kinds = [labelled.get(path, GOOD) for _, paths in shown for path in paths]
        defective = np.array([kind != GOOD for kind in kinds])
        among = leave_one_out(taught, "radius").numpy()
        maps = learn_bank(taught, "radius").distance_map(judged).numpy()
        root = radius_scale(among)
        for words, scale in (("nothing", root**0), ("the greatest", root**2), ("its root", root)):
            print(
                f"| {contrast:g} | {text} | {depth} | {words} | {_figures(maps, scale, defective)} |",
                flush=True,
            )

    if len(sizes) * len(given.depths) > 1:
        _tell_times(given.teacher, list(product(sizes.values(), given.depths)), given.models)


def _size(text: str) -> tuple[int, int]:
    rows, _, columns = text.partition("x")
    return int(rows), int(columns)


def _tell_times(name: str, variants: list[tuple[tuple[int, int], int]], models: Path) -> None:
    """What the teacher takes in each size and depth, in turn, one thread."""
    print("\n| view | depth | GMAC | ms | of the first |\n|---|---|---|---|---|")
    graphs = [
        teacher_path(Teacher(name, rows=size[0], columns=size[1], depth=depth), models)
        for size, depth in variants
    ]
    networks = [load_network(graph) for graph in graphs]
    spent: list[list[float]] = [[] for _ in networks]
    for _, (network, times) in product(range(_ROUNDS), zip(networks, spent, strict=True)):
        picture = np.zeros((1, *network.input_shape), np.uint8)
        began = time.perf_counter()
        network.run(picture)
        times.append(time.perf_counter() - began)
    medians = [float(np.median(times)) for times in spent]
    for (size, depth), graph, median in zip(variants, graphs, medians, strict=True):
        gmac = multiplications(graph) / 1e9
        print(
            f"| {size[0]}×{size[1]} | {depth} | {gmac:.2f} | {1e3 * median:.0f} "
            f"| {median / medians[0]:.0%} |"
        )


def _figures(maps: Maps, scale: Maps, defective: NDArray[np.bool_]) -> str:
    hottest = (-maps / scale).max(axis=(1, 2))
    false, true, _ = roc_curve(defective, hottest)
    shares = " / ".join(f"{true[false <= rate].max():.0%}" for rate in RATES)
    return f"{roc_auc_score(defective, hottest):.3f} | {shares}"


if __name__ == "__main__":
    main()
