"""A transport that keeps what is written."""

import asyncio


class Recorded(asyncio.Transport):
    """Keeps what is written, and how."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[bytes | str] = []
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.calls.append(bytes(data))

    def writelines(self, list_of_data: object) -> None:
        assert isinstance(list_of_data, tuple)
        self.calls.append(b"".join(list_of_data))

    def write_eof(self) -> None:
        self.calls.append("eof")

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self.closing = True
        self.calls.append("close")

    def abort(self) -> None:
        self.closing = True
        self.calls.append("abort")

    def is_closing(self) -> bool:
        return self.closing
