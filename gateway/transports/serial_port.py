"""Serial meters through pyserial: the ports that are plugged in, and lines to the meters on them.

A port is known by its USB path and VID:PID, never by a ttyUSB number, which the next plug changes; several CH34x
have no serial number, so the place it is plugged in is its address. An open port is `serial_link`'s, which driver
speaks on it `gateway.drivers`' and the settings'.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from serial.tools import list_ports

from gateway.config import SerialSettings
from gateway.conversation import Driver, Lost, SerialLine, Sighting
from gateway.converse import Link
from gateway.logged import failing
from gateway.transports.serial_link import GONE, CannotOpen, OpenPort, Tty, open_tty

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""A meter that was just plugged in is known within a second; looking costs a millisecond, in its own thread."""
ASK_EVERY_S = 3.0
"""A meter that only answers is sighted this often; `docking.Manners` decides whether it is asked."""
CALL_AGAIN_S = 5.0
"""Bytes nobody has fetched (the disk was full) are called out again."""
SETTLE_S = 1.0
"""What comes so soon after a port was opened may have waited for that: a USB meter keeps its last line, and an
adapter's buffer what was said while the gateway was started."""
RETRY_OPEN_S = (1.0, 2.0, 5.0, 15.0, 60.0)
"""Pauses between attempts to open a port somebody else has, or that is not allowed."""
THREADS = 4
"""For looking and opening only: an rfcomm port whose meter is away can take seconds, the others must not wait."""
SIGHTINGS_WAITING = 64
"""A sighting that finds no room comes again with the next look."""
LINES_LEFT = 16
"""Ports that went before a conversation fetched what they had said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port that is there now."""

    device: str  # /dev/ttyUSB0: where it is opened, not what it is called
    address: str  # its USB path, 1-1.2 or 1-1.2:1.0; of a port that is not on USB, its device
    usb_id: str = ""  # 1a86:7523
    product: str = ""  # what it says it is


def usb_ports() -> list[Port]:
    """Every serial port on USB, as the kernel knows it."""
    return [
        Port(
            device=info.device,
            address=info.location,
            usb_id=f"{info.vid:04x}:{info.pid:04x}",
            product=info.product or "",
        )
        for info in list_ports.comports()
        if info.location
    ]


def ports_there(settings: Sequence[SerialSettings], listed: Sequence[Port]) -> list[Port]:
    """`listed`, and the devices the settings name: rfcomm ports, and whatever else is not on USB."""
    devices = [one.device for one in settings if one.device and Path(one.device).exists()]
    named = {str(Path(device).resolve()) for device in devices}
    return [
        *(port for port in listed if port.device not in named),
        *(Port(device=device, address=device) for device in devices),
    ]


def sighting_of(port: Port, settings: Sequence[SerialSettings]) -> Sighting:
    """What is known of `port`: by itself, and from the first settings that mean it."""
    setting = setting_of(port, settings)
    return Sighting(
        transport="serial",
        address=port.address,
        name=(setting.label if setting else "") or port.product,
        usb_id=port.usb_id,
        driver=setting.driver if setting else "",
    )


def setting_of(port: Port, settings: Sequence[SerialSettings]) -> SerialSettings | None:
    """The first settings that mean `port`."""
    for one in settings:
        if one.device:
            meant = one.device == port.device
        else:
            meant = one.usb_path in ("", port.address) and one.usb_id in ("", port.usb_id)
        if meant:
            return one
    return None


def line_of(driver: Driver, port: Port, settings: Sequence[SerialSettings]) -> SerialLine:
    """How `port` is opened for `driver`: as it says, at the speed the settings say where they do."""
    line = driver.line or SerialLine(baud=9600)
    setting = setting_of(port, settings)
    return replace(line, baud=setting.baud) if setting is not None and setting.baud else line


@dataclass(slots=True, kw_only=True)
class _Plugged:
    """A port from being plugged in to being pulled out."""

    port: Port
    sighting: Sighting
    line: SerialLine
    open: OpenPort | None = None
    opening: "asyncio.Task[None] | None" = None
    trouble: str = ""  # busy, denied, gone, failed
    failures: int = 0
    try_at: float = 0.0
    sighted_at: float = float("-inf")
    called: bool = False  # bytes wait, and a sighting says so
    opened_at: float = float("-inf")
    waited: bool = False  # some of them were said while nobody listened


class SerialPorts:
    """See `Transport`. `recognise` finds the driver of a sighting; `look` lists the USB ports, and may block."""

    name = "serial"

    def __init__(
        self,
        settings: Sequence[SerialSettings],
        recognise: Callable[[Sighting], Driver | None],
        *,
        look: Callable[[], Sequence[Port]] = usb_ports,
        look_every_s: float = LOOK_EVERY_S,
        ask_every_s: float = ASK_EVERY_S,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._settings = settings
        self._recognise = recognise
        self._look = look
        self._look_every_s = look_every_s
        self._ask_every_s = ask_every_s
        self._settle_s = settle_s
        self._plugged: dict[str, _Plugged] = {}  # by address
        self._left: list[_Plugged] = []  # pulled, with something to say
        self._missing = bool(settings)
        self._looking_failed = False
        self._heard: asyncio.Queue[Sighting] = asyncio.Queue(SIGHTINGS_WAITING)

    @property
    def state(self) -> str:
        """See Transport; "" where there is no serial meter, and none is expected."""
        troubles = {one.trouble for one in self._plugged.values()} - {""}
        if self._looking_failed or troubles - {GONE}:
            return "failed"
        if self._missing or troubles:
            return "absent"
        return "ok" if self._plugged else ""

    async def sightings(self) -> AsyncGenerator[Sighting, None]:
        """See Transport."""
        # Never the loop's own threads: those look up names for the uplink, and may all be waiting for an answer.
        threads = ThreadPoolExecutor(THREADS, "serial")
        looking = asyncio.create_task(self._keep_looking(threads))
        try:
            while True:
                yield await self._heard.get()
        finally:
            looking.cancel()
            for address in list(self._plugged):
                self._forget(address)  # what they said and nobody fetched is there when we are watched again
            threads.shutdown(wait=False, cancel_futures=True)

    def open(self, sighting: Sighting) -> AbstractAsyncContextManager[Link]:
        """See Transport."""
        return self._open(sighting)

    @asynccontextmanager
    async def _open(self, sighting: Sighting) -> AsyncIterator[Link]:
        it = self._find(sighting)
        if it is None or it.open is None:
            raise Lost("the port is gone")
        it.open.talking, it.called = True, False
        fetched = it.open.fetched
        try:
            yield it.open
        finally:
            it.open.talking = False
            # One that fetched nothing had nowhere to put it: those bytes are called out again, but not at once.
            it.called = it.waited = it.open.waiting and it.open.fetched == fetched
            self._on_news(it)

    def _find(self, sighting: Sighting) -> _Plugged | None:
        """What a port said before it was pulled comes before what the port now there says."""
        wanted = replace(sighting, calling=False, waited=False)
        left = [one for one in self._left if one.open is not None and one.open.waiting]
        for one in (*left, *self._plugged.values()):
            if one.sighting == wanted and one.open is not None and not one.open.talking:
                return one
        return None

    # --- looking ---------------------------------------------------------------------------------------------

    async def _keep_looking(self, threads: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                listed = await loop.run_in_executor(threads, self._look)
                there = ports_there(self._settings, listed)
                self._looking_failed = False
            except Exception as failure:  # whatever sysfs says of a port that is just being pulled
                if not self._looking_failed:
                    log.warning("serial.look_failed %s", failing(failure))
                self._looking_failed = True
            else:
                self._compare({port.address: port for port in there}, threads)
            self._call(loop.time())
            await asyncio.sleep(self._look_every_s)

    def _compare(self, there: Mapping[str, Port], threads: ThreadPoolExecutor) -> None:
        """Forgets what is gone, opens what is new."""
        for address, one in list(self._plugged.items()):
            if there.get(address) != one.port or (one.open is not None and one.open.gone):
                self._forget(address)
        for address, port in there.items():
            if address not in self._plugged:
                self._meet(port)
        now = asyncio.get_running_loop().time()
        for one in self._plugged.values():
            if one.open is None and one.opening is None and now >= one.try_at:
                one.opening = asyncio.create_task(self._open_port(one, threads))
        self._missing = any(
            not any(setting_of(port, (setting,)) for port in there.values()) for setting in self._settings
        )

    def _meet(self, port: Port) -> None:
        sighting = sighting_of(port, self._settings)
        driver = self._recognise(sighting)
        if driver is not None:
            line = line_of(driver, port, self._settings)
            self._plugged[port.address] = _Plugged(port=port, sighting=sighting, line=line)
            log.info("serial.plugged address=%s usb_id=%s driver=%s", port.address, port.usb_id, driver.name)

    def _forget(self, address: str) -> None:
        one = self._plugged.pop(address)
        log.info("serial.unplugged address=%s", address)
        if one.opening is not None:
            one.opening.cancel()
        if one.open is not None:
            one.open.close()
            if one.open.waiting and not one.line.asks and not one.open.talking:
                self._left = [*self._left[1 - LINES_LEFT :], one]

    async def _open_port(self, one: _Plugged, threads: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        opened = loop.run_in_executor(threads, open_tty, one.port.device, one.line)
        try:
            tty = await asyncio.shield(opened)
        except CannotOpen as error:
            pause_s = RETRY_OPEN_S[min(one.failures, len(RETRY_OPEN_S) - 1)]
            if error.why != one.trouble:
                log.warning("serial.cannot_open address=%s why=%s", one.port.address, error.why)
            one.trouble = error.why
            one.failures += 1
            one.try_at = loop.time() + pause_s
        except asyncio.CancelledError:
            opened.add_done_callback(_give_back)
            raise
        else:
            one.trouble, one.failures, one.opened_at = "", 0, loop.time()
            one.open = OpenPort(tty, asks=one.line.asks, on_news=lambda: self._on_news(one))
        finally:
            one.opening = None

    # --- sightings -------------------------------------------------------------------------------------------

    def _on_news(self, one: _Plugged) -> None:
        """Bytes came, the port went, or a conversation ended: a meter that speaks by itself is heard at once."""
        if one.open is None or one.line.asks or one.open.talking or one.called:
            return
        if one.open.waiting:
            one.called = True
            self._sight(one, calling=True)

    def _call(self, now: float) -> None:
        """Whoever is to be asked, or has not been answered, is sighted again."""
        self._left = [one for one in self._left if one.open is not None and one.open.waiting]
        for one in (*self._left, *self._plugged.values()):
            if one.open is None or one.open.talking or (one.open.gone and not one.open.waiting):
                continue
            if one.line.asks and now - one.sighted_at >= self._ask_every_s:
                self._sight(one, calling=False)
            elif not one.line.asks and one.open.waiting and now - one.sighted_at >= CALL_AGAIN_S:
                one.waited = True
                self._sight(one, calling=True)

    def _sight(self, one: _Plugged, *, calling: bool) -> None:
        if not self._heard.full():
            one.sighted_at = asyncio.get_running_loop().time()
            one.waited = one.waited or (calling and one.sighted_at - one.opened_at < self._settle_s)
            self._heard.put_nowait(replace(one.sighting, calling=calling, waited=one.waited))


def _give_back(opened: "asyncio.Future[Tty]") -> None:
    """A port that was opened after nobody wanted it any more."""
    if not opened.cancelled() and opened.exception() is None:
        opened.result().close()
