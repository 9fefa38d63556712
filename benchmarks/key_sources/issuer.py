"""An issuer that delays and fails on demand, in threads beside the measured event loop."""

import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Issuer:
    """Serves a JWKS. While `failing`, it returns status 500; after `stop`, it refuses connections.

    `arrivals` holds when each JWKS request arrived (monotonic seconds).
    """

    def __init__(self, url: str, keys: list[dict[str, Any]], certificate: str | None) -> None:
        self.url = url
        self.keys = keys
        self.delay = 0.0
        self.failing = False
        self.arrivals: list[float] = []
        self._certificate = certificate
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listen on the port of the URL."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                document: object = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}jwks"}
                if self.path == "/jwks":
                    issuer.arrivals.append(time.monotonic())
                    document = {"keys": issuer.keys}
                    time.sleep(issuer.delay)
                self.send_response(500 if issuer.failing else 200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(document).encode())

            def log_message(self, *_: object) -> None:
                """Write no log."""

        host, port = self.url.rstrip("/").rpartition("/")[2].split(":")
        self._server = ThreadingHTTPServer((host, int(port)), Handler, bind_and_activate=False)
        self._server.request_queue_size = 512
        self._server.server_bind()
        self._server.server_activate()
        if self._certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(self._certificate)
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
