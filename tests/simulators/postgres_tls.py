"""A TLS proxy in front of a PostgreSQL server, like Neon's: it accepts no plain connection.

The host name of the client (SNI) selects the target: with `-pooler` in it, the pooler.
"""

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_SSL_REQUEST = struct.pack("!II", 8, 80_877_103)
_CHUNK = 65_536


class PostgresTls:
    """Records the requested names, the data received, and the number of plain connections.

    `pooler_port` is the port of the pooler; 0 means that there is none.
    """

    def __init__(self, server_port: int, context: ssl.SSLContext) -> None:
        self._server_port = server_port
        self._context = context
        self._context.sni_callback = self._note
        self._asked = threading.local()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.pooler_port = self.plain = 0
        self.names: list[str | None] = []
        self.received = bytearray()

    def serve(self) -> None:
        """Accept connections until the listener is closed."""
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._take, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Stop accepting connections."""
        # Closing alone would not end the accept() of the other thread.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _take(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            if client.recv(len(_SSL_REQUEST), socket.MSG_WAITALL) != _SSL_REQUEST:
                self.plain += 1
                return
            client.sendall(b"S")
            with self._context.wrap_socket(client, server_side=True) as secure:
                name: str | None = self._asked.name
                self.names.append(name)
                port = self.pooler_port if "-pooler." in (name or "") else self._server_port
                with socket.create_connection(("127.0.0.1", port)) as server:
                    back = threading.Thread(target=_pump, args=(server, secure), daemon=True)
                    back.start()
                    _pump(secure, server, self.received)
                    back.join()

    def _note(self, _socket: object, name: str | None, _context: object) -> None:
        self._asked.name = name


def _pump(source: socket.socket, sink: socket.socket, kept: bytearray | None = None) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            if kept is not None:
                kept += data
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


@contextmanager
def postgres_tls(port: int, context: ssl.SSLContext) -> Iterator[PostgresTls]:
    """Run a proxy in front of the server on this port of 127.0.0.1."""
    proxy = PostgresTls(port, context)
    thread = threading.Thread(target=proxy.serve)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
