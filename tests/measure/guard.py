"""Is a spoiled picture among the clean ones found? ``python -m tests.measure.guard --help``.

Hides one test picture with a defect among clean training pictures and asks the guard; then asks it about
clean ones alone. Prints a table. Features are kept in ``--kept``: taking it again takes seconds.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inspector.detector.datasets import clean_files, labelled_files
from inspector.detector.guard import suspects
from inspector.detector.memory_bank import leave_one_out
from inspector.recipe import Teacher
from tests.measure.teacher_features import NEIGHBOURHOODS, features_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clean", type=Path, nargs="+", required=True, help="folders")
    parser.add_argument("--spoiled", type=Path, required=True, help="data set in MVTec AD's layout")
    parser.add_argument("--view", choices=NEIGHBOURHOODS, default="polar")
    parser.add_argument("--counts", type=int, nargs="+", default=[5, 84])
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--teacher", default=Teacher().name)
    parser.add_argument("--kept", type=Path, required=True, help="folder for features")
    parser.add_argument("--models", type=Path, default=Path("models"))
    given = parser.parse_args()
    torch.set_num_threads(1)

    def read(name: str, files: list[Path]) -> tuple[Tensor, list[Path]]:
        kept = given.kept / f"{given.teacher}-{name}.npz"
        return features_of(files, given.view, kept, given.models, teacher=given.teacher)

    clean = torch.cat([read(folder.name, clean_files(folder))[0] for folder in given.clean])
    labelled = {one.path: one.kind for one in labelled_files(given.spoiled)}
    spoiled, paths = read(f"{given.spoiled.name}-test", list(labelled))
    kinds = np.array([labelled[path] for path in paths])

    def suspected(chosen: list[int], hidden: Tensor | None) -> list[str]:
        pictures = clean[torch.tensor(chosen)]
        names = [str(number) for number in chosen]
        if hidden is not None:
            pictures, names = torch.cat([hidden[None], pictures[1:]]), ["hidden", *names[1:]]
        maps = leave_one_out(pictures, NEIGHBOURHOODS[given.view])
        return [suspect.name for suspect in suspects(maps.numpy(), names)]

    print("| pictures | one of them is | draws | it is named | clean ones named beside it |")
    print("|---|---|---|---|---|")
    for count in given.counts:
        draws = [
            np.random.default_rng(draw).permutation(len(clean))[:count].tolist()
            for draw in range(given.draws)
        ]
        alone = [len(suspected(chosen, None)) for chosen in draws]
        alarms = f"{sum(map(bool, alone))} sets, {sum(alone)} pictures"
        print(f"| {count} | clean | {len(draws)} | – | {alarms} |", flush=True)
        for kind in sorted(set(kinds) - {"good"}):
            of_kind = np.flatnonzero(kinds == kind)
            named = beside = 0
            for draw, chosen in enumerate(draws):
                hidden = spoiled[np.random.default_rng(draw).choice(of_kind)]
                found = suspected(chosen, hidden)
                named += "hidden" in found
                beside += len(set(found) - {"hidden"})
            print(f"| {count} | {kind} | {len(draws)} | {named} | {beside} |", flush=True)


if __name__ == "__main__":
    main()
