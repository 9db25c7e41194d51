"""Which patches of a cup image show the cup."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inspector.recipe.view import RIM_PX, SIZE, cup_patches

_PIXELS = np.arange(SIZE) + 0.5 - SIZE / 2
FROM_CENTRE = np.hypot(_PIXELS[:, None], _PIXELS)


@given(rows=st.sampled_from([1, 2, 8, 12, 24, 32, 48]), columns=st.sampled_from([1, 4, 24, 96]))
def test_every_pixel_of_the_cup_lies_in_a_patch_that_is_kept(rows: int, columns: int) -> None:
    kept = np.zeros(rows * columns, np.bool_)
    kept[cup_patches((rows, columns))] = True
    nearest = FROM_CENTRE.reshape(rows, SIZE // rows, columns, SIZE // columns).min(axis=(1, 3))
    assert kept[nearest.flatten() <= RIM_PX + 1].all()  # a view is grey from there on
    assert not kept[nearest.flatten() > RIM_PX + 2].any()


def test_a_fifth_of_the_published_patches_is_left_out() -> None:
    assert len(cup_patches((24, 24))) == 448
