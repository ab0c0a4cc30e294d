"""A data set batch by batch: the next pictures are decoded in threads while the caller works on these."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from reportgen.errors import ImageError
from reportgen.examples import Dataset, Example

AHEAD = 3  # batches decoded before they are asked for, at most
BUDGET = 1 << 28  # bytes they may take; 12-megapixel photos would else fill the memory with three batches
Loaded = tuple[int, Example | ImageError]


def stream(data: Dataset, *, start: int = 0, size: int = 16, threads: int = 2) -> Iterator[list[Loaded]]:
    """Batches of `size` pictures with their places, in the order of the set, from the place `start` on.

    A picture that cannot be read is there as its ImageError; any other error of a thread is raised here. Close the
    generator (or let go of it) to stop the threads.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="pictures")
    waiting: deque[Future[Example | ImageError]] = deque()
    try:
        for first in range(start, len(data), size):
            stop = min(first + size, len(data))
            _ask(pool, waiting, data, first, stop)
            batch = [(place, waiting.popleft().result()) for place in range(first, stop)]
            _ask(pool, waiting, data, stop, min(stop + _room(batch, size, threads), len(data)))
            yield batch
            del batch  # before the next one is put together
    finally:
        pool.shutdown(cancel_futures=True)


def _ask(
    pool: ThreadPoolExecutor, waiting: deque[Future[Example | ImageError]], data: Dataset, first: int, stop: int
) -> None:
    """Have the pictures up to `stop` decoded; not again those that wait from `first` on."""
    for place in range(first + len(waiting), stop):
        waiting.append(pool.submit(_load, data, place))


def _room(batch: list[Loaded], size: int, threads: int) -> int:
    """How many pictures to decode ahead, as far as these tell how large they are."""
    largest = max((entry.picture.nbytes for _, entry in batch if isinstance(entry, Example)), default=0)
    return min(AHEAD * size, max(threads, BUDGET // max(1, largest)))


def _load(data: Dataset, place: int) -> Example | ImageError:
    try:
        return data.load(place)
    except ImageError as error:
        return error
