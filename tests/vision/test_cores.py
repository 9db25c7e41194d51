"""Cups looked at side by side share the cores: no library takes all of them for one cup."""

import os
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from inspector.vision.cores import share_cores


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Limits are the whole process's: other tests get back what they had."""
    threads = cv2.getNumThreads()
    with threadpool_limits(user_api="blas"):
        yield
    cv2.setNumThreads(threads)


@pytest.mark.parametrize("workers", [1, 2, 1000])
def test_all_workers_together_start_as_many_threads_as_there_are_cores(workers: int) -> None:
    share_cores(workers)
    assert cv2.getNumThreads() == max(1, len(os.sched_getaffinity(0)) // workers)


def test_products_of_small_matrices_are_not_spread_over_cores() -> None:
    np.ones((8, 8)) @ np.ones((8, 8))
    share_cores(1)
    products = [library for library in threadpool_info() if library["user_api"] == "blas"]
    assert products
    assert {library["num_threads"] for library in products} == {1}
