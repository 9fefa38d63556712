"""The load against a server that does what it is told."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, repeat

import pytest

from benchmarks.load import Load, LoadError

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
Answer = Callable[[int], bytes]


@contextmanager
def serving(answer: Answer, *, delay: float = 0.0) -> Iterator[int]:
    """Answer the number of the request, one thread a connection; b"" closes the connection."""
    numbers = count()
    listener = socket.create_server(("127.0.0.1", 0))

    def converse(connection: socket.socket) -> None:
        with connection:
            while connection.recv(4096):
                time.sleep(delay)
                message = answer(next(numbers))
                if not message:
                    return
                connection.sendall(message)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=converse, args=(connection,)).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_closed_loop_measures_until_the_time_is_over() -> None:
    with serving(lambda _: OK) as port:
        outcome = Load(port, repeat((REQUEST, 200)), connections=3).run(warm_up=0.05, seconds=0.2)
    assert outcome.answers == len(outcome.latencies) > 0
    assert outcome.seconds == pytest.approx(0.2, abs=0.15)
    assert not outcome.unexpected


def test_load_ends_when_the_requests_run_out() -> None:
    with serving(lambda _: OK) as port:
        outcome = Load(port, iter([(REQUEST, 200)] * 7), connections=3).run(warm_up=0, seconds=30)
    assert outcome.answers == 7
    assert outcome.seconds < 10


def test_load_does_not_wait_for_more_when_the_requests_have_run_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_vain: list[bool] = []
    receive = Load._receive

    def watched(load: Load, wait: float) -> None:
        in_vain.append(load._exhausted and len(load._idle) == len(load._clients))
        receive(load, wait)

    monkeypatch.setattr(Load, "_receive", watched)
    with serving(lambda _: OK) as port:
        Load(port, iter([(REQUEST, 200)]), connections=1).run(warm_up=0, seconds=20)
    assert in_vain
    assert not any(in_vain)


def test_measurement_goes_on_until_there_is_an_answer() -> None:
    with serving(lambda _: OK, delay=0.3) as port:
        outcome = Load(port, repeat((REQUEST, 200)), connections=1).run(warm_up=0, seconds=0.05)
    assert outcome.answers == 1
    assert outcome.seconds > 0.2


def test_unexpected_statuses_are_counted() -> None:
    refused = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
    with serving(lambda number: refused if number == 2 else OK) as port:
        outcome = Load(port, iter([(REQUEST, 200)] * 5), connections=1).run(warm_up=0, seconds=30)
    assert outcome.answers == 5
    assert outcome.unexpected == {"503": 1}


def test_closed_connections_are_counted_and_replaced() -> None:
    with serving(lambda number: b"" if number == 1 else OK) as port:
        outcome = Load(port, iter([(REQUEST, 200)] * 5), connections=1).run(warm_up=0, seconds=30)
    assert outcome.answers == 4
    assert outcome.unexpected == {"closed": 1}


def test_answers_without_a_body_are_whole_with_their_headers() -> None:
    with serving(lambda _: b"HTTP/1.1 204 No Content\r\n\r\n") as port:
        outcome = Load(port, iter([(REQUEST, 204)] * 3), connections=1).run(warm_up=0, seconds=30)
    assert (outcome.answers, outcome.unexpected) == (3, {})


def test_answers_of_unknown_length_are_refused() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    with serving(lambda _: chunked) as port, pytest.raises(LoadError, match="Content-Length"):
        Load(port, repeat((REQUEST, 200)), connections=1).run(warm_up=0, seconds=1)


def test_latency_of_an_open_loop_counts_from_when_the_request_was_due() -> None:
    # One connection that takes 50 ms an answer cannot keep up with one request each 20 ms.
    with serving(lambda _: OK, delay=0.05) as port:
        outcome = Load(port, repeat((REQUEST, 200)), connections=1).run(
            warm_up=0, seconds=0.6, rate=50
        )
    assert outcome.latencies[0] < outcome.latencies[-1]
    assert outcome.latencies[-1] > 0.15


def test_open_loop_keeps_its_rate() -> None:
    with serving(lambda _: OK) as port:
        outcome = Load(port, repeat((REQUEST, 200)), connections=4).run(
            warm_up=0, seconds=0.5, rate=100
        )
    assert 25 <= outcome.answers <= 52


@pytest.mark.parametrize(("patient", "waits"), [(True, True), (False, False)])
def test_patient_client_waits_as_long_as_retry_after_says(*, patient: bool, waits: bool) -> None:
    refused = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
    with serving(lambda number: OK if number else refused) as port:
        load = Load(port, iter([(REQUEST, 200)] * 2), connections=1, patient=patient)
        outcome = load.run(warm_up=0, seconds=30)
    assert (outcome.answers, outcome.unexpected) == (2, {"503": 1})
    assert (outcome.seconds >= 1) == waits
