"""What becomes of the memory that a batch leaves behind."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LARGEST = 2**30  # bytes; the largest block that is kept
LARGEST_BEFORE_2_35 = 2**25  # that glibc allows


def keep_freed_memory() -> None:
    """Let the C library hand memory that is freed to whoever asks next, instead of back to the system.

    Every batch frees megabytes of activations and gradients, and the next batch asks for as much. From the system each
    page comes anew, empty and through an interrupt: a third of the time of an update of the book's net. The process
    stays as large as it once was. Does nothing where the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    # The second alone would make matters worse: with it glibc no longer raises the first by itself.
    if mallopt and (mallopt(M_MMAP_THRESHOLD, LARGEST) or mallopt(M_MMAP_THRESHOLD, LARGEST_BEFORE_2_35)):
        mallopt(M_TRIM_THRESHOLD, LARGEST)
