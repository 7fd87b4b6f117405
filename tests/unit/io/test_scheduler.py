"""The scheduler of a response that its server pulls, which has no hub."""

from __future__ import annotations

from faye_websocket.eventsource.response_carrier import _PulledScheduler
from faye_websocket.io.scheduler import Job


class Task(Job):
    """A job that records that it was run."""

    def __init__(self) -> None:
        self.runs = 0

    def drain(self) -> None:
        self.runs += 1


def test_runs_callbacks_when_it_is_pulled_and_wakes_the_puller() -> None:
    calls: list[str] = []
    scheduler = _PulledScheduler(lambda: calls.append('woken'))
    scheduler.run_callback(calls.append, 'called')
    assert calls == ['woken']
    assert scheduler.has_callbacks
    scheduler.run_callbacks()
    assert calls == ['woken', 'called']
    assert not scheduler.has_callbacks


def test_runs_a_job_at_once_so_that_none_is_left_to_run_or_to_cancel() -> None:
    scheduler, task = _PulledScheduler(lambda: None), Task()
    assert not scheduler.run(task, 10)
    assert task.runs == 1
    scheduler.run_jobs()
    scheduler.cancel(task)
    assert task.runs == 1
    assert scheduler.runner is None
