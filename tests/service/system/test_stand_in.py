"""What a client receives while no worker process runs."""

import http.client
import json
import socket
import threading

from service.system.stand_in import answer_unavailable


def test_every_request_is_answered_with_503_and_a_problem_document() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)  # as the workers leave it
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                answer_unavailable([listener], seconds=0.05)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            # A client that connects and sends nothing delays the others only for a moment.
            with socket.create_connection(listener.getsockname()[:2]):
                for method, body in (("GET", None), ("POST", b"{}")):
                    port = listener.getsockname()[1]
                    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                    client.request(method, "/api/tasks", body=body)
                    answer = client.getresponse()
                    assert answer.status == 503
                    assert answer.headers["Content-Type"] == "application/problem+json"
                    assert answer.headers["Retry-After"] == "5"
                    assert json.loads(answer.read())["code"] == "restarting"
        finally:
            ended.set()
            thread.join()
