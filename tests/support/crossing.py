"""Gates and notes that reach a body wherever it runs: in this process or in another one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
from pathlib import Path
from typing import Any

WAIT = 20.0


class Gate:
    """A place where a body waits until the test opens it; can be pickled."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._lock = threading.Lock()
        self._is_open = False
        self._waiting: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self._door = Door(self._server.getsockname()[:2])
        self.wait, self.wait_async = self._door.wait, self._door.wait_async
        threading.Thread(target=self._accept, daemon=True).start()

    def __reduce__(self) -> Any:
        return Door, (self._door.address,)

    def open(self) -> None:
        with self._lock:
            self._is_open = True
            while self._waiting:
                self._waiting.pop().close()

    def close(self) -> None:
        self.open()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with self._lock:
                if self._is_open:
                    connection.close()
                else:
                    self._waiting.append(connection)
            self.reached.set()


class Door:
    """The gate as a body has it: it waits for the end of a connection."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address

    def wait(self) -> None:
        try:
            connection = socket.create_connection(self.address, WAIT)
        except ConnectionError:
            return
        with connection, contextlib.suppress(ConnectionError):
            assert connection.recv(1) == b""

    async def wait_async(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self.wait)


class Notes:
    """What bodies noted, in order; can be pickled."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    def add(self, note: Any) -> None:
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        os.write(file, (json.dumps(note) + "\n").encode())
        os.close(file)

    def all(self) -> list[Any]:
        return [json.loads(line) for line in self._path.read_text().splitlines()]
