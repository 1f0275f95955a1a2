"""Run one task a shard on any executor, in bounded memory, with progress on standard error."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from typing import Any

__all__ = ["run_shards"]

Task = tuple[Callable[..., Any], tuple[Any, ...]]


def run_shards(
    tasks: Sequence[Task],
    label: str,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: bool | None = None,
) -> list[Any]:
    """Results of the tasks, in their order, whatever the executor and its number of workers.

    Only a few tasks are under way at once, so that results that are merged away leave memory
    flat. `workers` (default: one a core) sizes the thread pool made when no executor is given.
    Compiled loops and numpy release the interpreter lock, so threads do run in parallel.

    >>> run_shards([(pow, (2, n)) for n in range(4)], "powers")
    [1, 2, 4, 8]
    """
    from tqdm.auto import tqdm

    if progress is None:
        progress = sys.stderr.isatty()
    own = None
    if executor is None:
        own = executor = ThreadPoolExecutor(workers or os.cpu_count() or 1)
    bar = tqdm(total=len(tasks), desc=label, unit="shard", disable=not progress, delay=1.0)
    results: list[Any] = []
    waiting: deque[Future[Any]] = deque()
    ahead = 2 * (workers or os.cpu_count() or 1)
    try:
        for function, arguments in tasks:
            waiting.append(executor.submit(function, *arguments))
            if len(waiting) > ahead:
                results.append(waiting.popleft().result())
                bar.update()
        while waiting:
            results.append(waiting.popleft().result())
            bar.update()
    finally:
        for future in waiting:
            future.cancel()
        wait(waiting)  # what runs already must not write after its directory was cleared away
        bar.close()
        if own:
            own.shutdown(cancel_futures=True)
    return results
