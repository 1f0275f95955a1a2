import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import pytest

from twofa_lab.traffic.shards import run_shards


class Backwards(Executor):
    """Does the last task handed in first, when the first result is asked for."""

    def __init__(self):
        self._waiting = []

    def submit(self, function, /, *arguments, **options):
        future = Lazy(self)
        self._waiting.append((future, function, arguments, options))
        return future

    def run_all(self):
        while self._waiting:
            future, function, arguments, options = self._waiting.pop()
            future.set_result(function(*arguments, **options))


class Lazy(Future):
    def __init__(self, executor):
        super().__init__()
        self._executor = executor

    def result(self, timeout=None):
        self._executor.run_all()
        return super().result(timeout)


def test_results_come_in_the_order_of_their_tasks():
    tasks = [(pow, (k, 2)) for k in range(30)]
    assert run_shards(tasks, "squares", workers=3) == [k * k for k in range(30)]
    assert run_shards(tasks, "squares", executor=Backwards()) == [k * k for k in range(30)]


def test_a_task_that_fails_stops_the_run_and_leaves_nothing_running():
    done = []

    def slow(k):
        if k == 0:
            raise TiredError
        time.sleep(0.1)
        done.append(k)

    with ThreadPoolExecutor(3) as threads:
        with pytest.raises(TiredError):
            run_shards([(slow, (k,)) for k in range(100)], "failing", executor=threads)
        at_once = len(done)
        assert 0 < at_once < 20  # what ran was waited for, what had not begun was not
    assert len(done) == at_once


class TiredError(Exception):
    pass


def test_progress_goes_to_standard_error(capsys):
    run_shards([(pow, (2, 2))] * 3, "powers", progress=False)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "")
