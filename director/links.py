"""One worker's connection to the director: frames in and out, with the bounds that keep a sick worker from harming
others."""

import asyncio
import logging
from typing import Final, Protocol, cast

from director import wire
from director.wire import BadFrame, FromWorker, Hello, ToWorker

HELLO_WITHIN: Final = 5.0
"""Seconds until a connection has said who it is."""

MAX_UNSENT: Final = 16 * 1024 * 1024
"""Bytes that wait for a worker to read; a longer queue means that it hangs, and it is cut off."""

_LONGEST_NAME: Final = 255
"""Characters of a worker's name."""

_logger = logging.getLogger("vestibule.director")


class Ear(Protocol):
    """Who hears what workers say."""

    def arrived(self, link: "Link") -> bool:
        """Whether there is room for another connection."""
        ...

    def joined(self, link: "Link") -> None:
        """The connection has said who it is: `worker` and `slot` are known."""
        ...

    def heard(self, link: "Link", messages: list[FromWorker]) -> None:
        """The worker says these, after its `Hello`."""
        ...

    def left(self, link: "Link") -> None:
        """The connection is over; also told for one that has never joined."""
        ...


class Link(asyncio.Protocol):
    """A connection; `worker` is "" until it has said `Hello`.

    `asked` has the time of each `Assign` that is not answered, `unsent` what is to be said in this turn of the loop.
    """

    def __init__(self, ear: Ear) -> None:
        self.worker = ""
        self.slot = 0
        self.asked: dict[int, float] = {}
        self.unsent: list[ToWorker] = []
        self._ear = ear
        self._unframer = wire.Unframer()
        self._transport: asyncio.Transport | None = None
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._ear.arrived(self):
            self.close("there are too many")
            return
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(HELLO_WITHIN, self.close, "it does not say who it is")

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._unframer.feed(data):
                if self._transport is None:
                    return
                self._take(wire.from_worker(body))
        except BadFrame as error:
            self.close(str(error))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._patience is not None:
            self._patience.cancel()
        self._ear.left(self)

    def flush(self) -> None:
        """Send what is to be said."""
        messages, self.unsent = self.unsent, []
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        try:
            transport.write(wire.frames(messages))
        except ValueError as error:
            self.close(str(error))
        if transport.get_write_buffer_size() > MAX_UNSENT:
            self.close("it does not read")

    def close(self, why: str = "") -> None:
        """Cut the connection; `why` is for the log."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        if why:
            _logger.warning("worker %s: the connection is closed: %s", self.worker or "(unknown)", why)
        transport.abort()

    def _take(self, messages: list[FromWorker]) -> None:
        if self.worker:
            self._ear.heard(self, messages)
            return
        if not messages:
            return
        self._greet(messages[0])
        if len(messages) > 1:
            self._ear.heard(self, messages[1:])

    def _greet(self, hello: FromWorker) -> None:
        """Raises BadFrame for anything but a Hello of our version."""
        if not isinstance(hello, Hello):
            raise BadFrame("it does not begin with Hello")
        if hello.version != wire.VERSION:
            raise BadFrame(f"it speaks version {hello.version}, and we {wire.VERSION}")
        if not 0 < len(hello.worker) <= _LONGEST_NAME:
            raise BadFrame("it has no name")
        assert self._patience is not None  # noqa: S101 (the connection was made)
        self._patience.cancel()
        self.worker, self.slot = hello.worker, hello.slot
        self._ear.joined(self)
