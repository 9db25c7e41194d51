"""A bank of clean patches: a patch is as hot as it is far from the nearest of them. Nothing is trained.

After PatchCore (Roth et al., 2022), on the teacher's features alone. A bank stands in for the student: its
distance is one minus a cosine, which is what Eq. 1 is on normalised features, so that Eq. 2 and 3 follow
unchanged.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from inspector.recipe.view import cup_patches

Neighbourhood = Literal["everywhere", "cup", "radius"]
"""With what a position is compared. ``everywhere``: with the patches of all positions. ``cup``, for round
views: likewise, but what is beside the cup is the same in all pictures and no position of any: the bank has
it once, as nobody's, and finds it cold. ``radius``, for polar views: with those whose row differs by at most
one, in any column, so that a cup in another turn, which is a shift along the rows, is compared with its own
radius. Its features are others all the same, since a teacher knows columns: a line turns cups, or leaves
them, as those of the bank were."""

_REACH: dict[Neighbourhood, int] = {"everywhere": 0, "cup": 0, "radius": 1}
_NOBODY = -1
"""The picture that a patch comes from which all have."""

MOST_PATCHES = 2000
"""That a position is compared with. On stains laid over clean pictures, bottles and cups, more found no
more; five pictures of 20×20 positions are kept whole."""
_PROJECTED = 64
"""Channels that patches are chosen in: a random projection keeps distances within about a tenth."""


@dataclass(frozen=True, slots=True, eq=False)
class MemoryBank:
    """Patches of clean pictures.

    Attributes:
        patches: G×K×C float32 of length 1, each rounded to float16 so that a file of half the size holds
            the same bank. ``everywhere``, ``cup``: one group; ``radius``: one a row, of that row alone.
        neighbourhood: which groups a position is compared with.
    """

    patches: Tensor
    neighbourhood: Neighbourhood

    @property
    def reach(self) -> int:
        """Rows on either side whose patches a position is compared with as well."""
        return _REACH[self.neighbourhood]

    def distance_map(self, features: Tensor) -> Tensor:
        """How far each position is from the nearest patch.

        Args:
            features: B×C×h×w of the teacher; any length, only their direction counts.

        Returns:
            B×h×w, cosine similarity to the nearest patch minus 1: as D of Eq. 1, in [-2, 0] up to
            rounding. Not a number where the features are none.

        Raises:
            ValueError: the bank was learned on maps with another number of rows.
        """
        bank = _with_neighbours(self.patches, self.reach)
        return torch.stack([_nearest(one, bank) for one in _in_groups(features, len(bank))]).view(
            len(features), *features.shape[2:]
        )


def learn_bank(
    features: Tensor,
    neighbourhood: Neighbourhood,
    most_patches: int = MOST_PATCHES,
    seed: int = 0,
) -> MemoryBank:
    """Keep the patches of clean pictures, or those that stand for all of them.

    Args:
        features: n×C×h×w of clean pictures.
        neighbourhood: see :data:`Neighbourhood`.
        most_patches: that a position is compared with; of more, a greedy k-centre choice is kept.
        seed: of the random projection that the choice is made in.
    """
    patches, _ = _learned(features, neighbourhood, most_patches, seed)
    return MemoryBank(patches, neighbourhood)


def leave_one_out(
    features: Tensor,
    neighbourhood: Neighbourhood,
    most_patches: int = MOST_PATCHES,
    seed: int = 0,
) -> Tensor:
    """What each clean picture looks like to a bank of the others: the bank without its own patches.

    Args:
        features: n×C×h×w of clean pictures, at least two.
        neighbourhood: as of the bank.
        most_patches: likewise.
        seed: likewise.

    Returns:
        n×h×w as ``MemoryBank.distance_map`` gives, so 0 beside a round view's cup; -2 where no other has any
        patch to compare with.

    Raises:
        ValueError: there is one picture alone.
    """
    if len(features) < 2:
        raise ValueError("one picture alone cannot be compared with others")
    patches, owners = _learned(features, neighbourhood, most_patches, seed)
    bank, owner = (_with_neighbours(each, _REACH[neighbourhood]) for each in (patches, owners))
    pictures = enumerate(_in_groups(features, len(bank)))
    maps = [_nearest(one, bank, owner == number) for number, one in pictures]
    return torch.stack(maps).view(len(features), *features.shape[2:])


def _learned(
    features: Tensor, neighbourhood: Neighbourhood, most_patches: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Patches, G×K×C, and the number of the picture each came from, G×K."""
    rows, columns = features.shape[2:]
    reach = _REACH[neighbourhood]
    most = max(1, most_patches // (2 * reach + 1))
    grouped = _in_groups(features, rows if reach else 1)
    if neighbourhood != "cup":
        # One group after the other: of thousands of pictures no second copy of all features is held.
        chosen = (_representative(_kept(group), most, seed) for group in grouped.unbind(dim=1))
        patches, owners = (torch.stack(each) for each in zip(*chosen, strict=True))
        return patches, owners
    shown = torch.zeros(rows * columns, dtype=torch.bool)
    shown[torch.from_numpy(cup_patches((rows, columns)))] = True
    # Were it in the choice, the one picture that it was kept of would be compared without it, and be as hot
    # beside the cup as no stain on it.
    unit = _kept(grouped[:, 0])
    beside = unit[0, ~shown][:1].float()
    patches, owners = _representative(unit[:, shown], most - len(beside), seed)
    nobody = torch.full((len(beside),), _NOBODY)
    return torch.cat([patches, beside])[None], torch.cat([owners, nobody])[None]


def _representative(unit: Tensor, most: int, seed: int) -> tuple[Tensor, Tensor]:
    """Of n×q×C at most so many patches, K×C, and the number of each one's picture, K."""
    pictures, positions, channels = unit.shape
    owners = torch.arange(pictures).repeat_interleave(positions)
    patches = unit.reshape(-1, channels)
    if len(patches) <= most:
        return patches.float(), owners
    random = torch.Generator().manual_seed(seed)
    projection = torch.randn(channels, _PROJECTED, generator=random)
    kept = _spread(patches.float() @ projection, most)
    return patches[kept].float(), owners[kept]


def _kept(features: Tensor) -> Tensor:
    """…×C features as a bank's file has them: of length 1, in float16."""
    return functional.normalize(features, dim=-1).half()


def _spread(points: Tensor, count: int) -> Tensor:
    """Greedy k-centre: indices of ``count`` of the N×c points, each the farthest from those before it.

    Rare patches are kept that a random choice loses, and clean ones far from every kept one are what a
    threshold suffers from: on clean pictures and stains laid over them, 1000 patches chosen so told stains
    apart as well as 8000 chosen at random.
    """
    lengths = points.square().sum(dim=1)
    farness = torch.full_like(lengths, torch.inf)
    kept = torch.zeros(count, dtype=torch.long)
    for number in range(1, count):
        last = kept[number - 1]
        squared = lengths + lengths[last] - 2 * (points @ points[last])
        torch.minimum(farness, squared, out=farness)
        kept[number] = farness.argmax()
    return kept


def _in_groups(features: Tensor, groups: int) -> Tensor:
    """B×C×h×w to B×G×(h·w/G)×C: all positions in one group, or each row's in its own.

    Raises:
        ValueError: there are several groups, but not one a row.
    """
    count, channels, rows, _ = features.shape
    if groups not in (1, rows):
        raise ValueError(f"a bank of {groups} rows cannot judge maps of {rows}: learn it anew")
    return features.permute(0, 2, 3, 1).reshape(count, groups, -1, channels)


def _with_neighbours(groups: Tensor, reach: int) -> Tensor:
    """Of G×K×…: each group with those beside it, G×(2·reach+1)K×…; at the edges with its own again."""
    around = torch.arange(len(groups))[:, None] + torch.arange(-reach, reach + 1)
    return groups[around.clamp(0, len(groups) - 1)].flatten(1, 2)


def _nearest(positions: Tensor, bank: Tensor, excluded: Tensor | None = None) -> Tensor:
    """D of one picture's positions, G×q×C, against a bank of G×K×C without the excluded, to G×q."""
    similarity: Tensor = positions @ bank.mT
    if excluded is not None:
        similarity.masked_fill_(excluded[:, None], -torch.inf)
    distance: Tensor = similarity.amax(dim=2) / positions.norm(dim=2) - 1
    return distance if excluded is None else distance.clamp(min=-2)
