"""Publish a key set over HTTP, as Better Auth does. Print the port, and serve until stopped.

    python -I -S issuer.py PATH DOCUMENT

It is a program of its own, so that answering takes no time of the process that sends the load.
Standard library only, so that it starts in milliseconds.
"""

import sys
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def main(argv: Sequence[str]) -> None:
    """Answer requests for the path with the document, and others with 404."""
    path, document = argv
    body = document.encode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Answer with the key set."""
            found = self.path == path
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body) if found else 0))
            self.end_headers()
            self.wfile.write(body if found else b"")

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
