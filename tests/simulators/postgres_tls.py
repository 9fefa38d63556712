"""TLS in front of a PostgreSQL server, as Neon's own proxy has it: nothing is taken without."""

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_SSL_REQUEST = struct.pack("!II", 8, 80_877_103)
_CHUNK = 65_536


class PostgresTls:
    """Counts the connections that came with TLS, and those that did not and were dropped."""

    def __init__(self, target: tuple[str, int], context: ssl.SSLContext) -> None:
        self._target = target
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.secure = self.plain = 0

    def serve(self) -> None:
        """Take connections until the listener is closed."""
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._take, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        # Closing alone would not wake the thread that waits in accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _take(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            if client.recv(len(_SSL_REQUEST), socket.MSG_WAITALL) != _SSL_REQUEST:
                self.plain += 1
                return
            client.sendall(b"S")
            with self._context.wrap_socket(client, server_side=True) as secure:
                self.secure += 1
                with socket.create_connection(self._target) as server:
                    back = threading.Thread(target=_pump, args=(server, secure), daemon=True)
                    back.start()
                    _pump(secure, server)
                    back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


@contextmanager
def postgres_tls(port: int, context: ssl.SSLContext) -> Iterator[PostgresTls]:
    """Run it in front of the server on that port of 127.0.0.1."""
    proxy = PostgresTls(("127.0.0.1", port), context)
    thread = threading.Thread(target=proxy.serve)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
