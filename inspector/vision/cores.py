"""Who gets which cores, where several cups are looked at side by side."""

import os

import cv2
from threadpoolctl import threadpool_limits


def share_cores(workers: int) -> None:
    """Bound the threads that OpenCV and numpy start in this process.

    Left alone, each starts as many as there are cores, for every worker at once; numpy's products wait for
    each other besides, and none in here is large enough to gain by a second thread.

    Args:
        workers: cups looked at side by side.
    """
    cv2.setNumThreads(max(1, len(os.sched_getaffinity(0)) // workers))
    threadpool_limits(1, user_api="blas")
