"""The pauses before a worker process is started again."""

from service.system.restarts import STEADY_SECONDS, Restarts


def test_worker_that_fails_again_and_again_is_started_after_growing_pauses() -> None:
    restarts, now, pauses = Restarts(0), 0.0, []
    for _ in range(8):
        pauses.append(restarts.end(now))
        assert restarts.due_at == now + pauses[-1]
        now = restarts.due_at
        restarts.start(now)
        assert restarts.due_at is None
    assert pauses == [0, 1, 2, 4, 8, 16, 30, 30]


def test_worker_that_ran_for_long_is_started_again_at_once() -> None:
    restarts = Restarts(0)
    assert [restarts.end(1), restarts.end(2)] == [0, 1]
    restarts.start(3)
    assert restarts.end(3 + STEADY_SECONDS) == 0
    restarts.start(100)
    assert restarts.end(100) == 1


def test_worker_that_ends_before_it_served_is_failing_until_one_serves() -> None:
    restarts = Restarts(0)
    restarts.serve()
    restarts.end(1)
    restarts.start(1)
    assert (restarts.served, restarts.failing) == (False, False)
    restarts.end(2)
    restarts.start(3)
    assert (restarts.served, restarts.failing) == (False, True)
    restarts.serve()
    assert (restarts.served, restarts.failing) == (True, False)
