"""A virtual CardioChek: a lipid analyser that prints each test as a label and then forgets who was listening.

Written from the captured label and the EPL2 page language. What carries the bytes is `serial_line`'s.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from gateway.simulators.line import LineMeter

FIRST_LINE, LINE_STEP = 40, 40  # dots from the top
BLANK = " " * 25
BLANK_LINES = 12

MMOL_PER_MG_DL = {"TRIG": Decimal("88.57")}
CHOLESTEROL_MMOL_PER_MG_DL = Decimal("38.67")
LIMITS_MMOL: Mapping[str, tuple[Decimal, Decimal]] = {
    "CHOL": (Decimal("2.59"), Decimal("12.93")),
    "HDL CHOL": (Decimal("0.39"), Decimal("2.59")),
    "TRIG": (Decimal("0.51"), Decimal("7.34")),
}
"""What the strips can measure; beyond it the label carries the limit and a sign."""
FRIEDEWALD_UP_TO_MMOL = Decimal("4.52")
"""Triglycerides (400 mg/dL) above which nobody computes LDL from them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One test as its label will say it."""

    at: datetime
    lot: str
    lines: tuple[str, ...]


@dataclass(kw_only=True)
class LipidPrinter(LineMeter):
    """Prints what has not been printed yet, once, to whoever listens. It hears nothing.

    `words` are the header's in the meter's language. `zeros_every`: its Bluetooth module strews a zero byte after
    so many others.
    """

    serial: str = "3093537"
    mg_dl: bool = False
    words: tuple[str, ...] = ("S/N", "DATE", "TIME", "ID", "LOT")
    zeros_every: int | None = None

    def measure_panel(self, total: Decimal, hdl: Decimal, triglyceride: Decimal, *, lot: str = "P443") -> None:
        """Takes a lipid panel now; numbers in mmol/L, whatever unit it prints."""
        measured = {"CHOL": total, "HDL CHOL": hdl, "TRIG": triglyceride}
        lines = [f"{name:<8}: {self._shown(name, value)}" for name, value in measured.items()]
        inside = all(low <= measured[name] <= high for name, (low, high) in LIMITS_MMOL.items())
        if inside and triglyceride <= FRIEDEWALD_UP_TO_MMOL:
            ldl = total - hdl - triglyceride / Decimal("2.2")
            lines.append(f"CALC LDL: {self._shown('CALC LDL', ldl)}")
            lines.append(f"TC/HDL  :  {total / hdl:.1f}")
        else:
            lines += ["CALC LDL: ---- ", "TC/HDL  : ---- "]
        self._print(Test(at=self.clock(), lot=lot, lines=tuple(lines)))

    def measure_glucose(self, mmol: Decimal, *, lot: str = "G118") -> None:
        """Takes a single glucose strip now."""
        shown = f" {mmol * Decimal('18.016'):.0f} mg/dL" if self.mg_dl else f" {mmol:.1f} mmol/L"
        self._print(Test(at=self.clock(), lot=lot, lines=(f"GLUCOSE : {shown}",)))

    def begin(self) -> Iterator[bytes]:
        """See LineMeter."""
        return self.untold.tell()

    def hear(self, data: bytes) -> Iterator[bytes]:
        """See LineMeter: nobody answers a printer."""
        return iter(())

    def printed(self, test: Test) -> tuple[bytes, ...]:
        """A label, and the blank one that ends a job."""
        label = b"\nN\n" + b"".join(_lines(self._header(test) + test.lines)) + b"P1\n"
        return label, b"\nN\n" + b"".join(_lines((BLANK,) * BLANK_LINES)) + b"\nN\n"

    def _print(self, test: Test) -> None:
        self.untold.result(*map(self._on_the_line, self.printed(test)))

    def _header(self, test: Test) -> tuple[str, ...]:
        said = (self.serial, f"{test.at:%Y %m %d}", f"{test.at:%H:%M}", "----", test.lot)
        return tuple(f"{word:<8}: {value}" for word, value in zip(self.words, said, strict=True))

    def _shown(self, name: str, mmol: Decimal) -> str:
        low, high = LIMITS_MMOL.get(name, (mmol, mmol))
        sign = "<" if mmol < low else ">" if mmol > high else ""
        mmol = min(max(mmol, low), high)
        if not self.mg_dl:
            return f"{sign} {mmol:.2f} mmol/L"
        return f"{sign} {mmol * MMOL_PER_MG_DL.get(name, CHOLESTEROL_MMOL_PER_MG_DL):.0f} mg/dL"

    def _on_the_line(self, said: bytes) -> bytes:
        step = self.zeros_every or len(said)
        return b"\0".join(said[at : at + step] for at in range(0, len(said), step))


@dataclass(kw_only=True)
class SlipPrinter(LipidPrinter):
    """A virtual AK blood chemistry module: the same tests as slips of text. Only the names of the lines and the
    end of a slip are known; the rest is made up. `dated`: a line says when it was."""

    dated: bool = True

    def printed(self, test: Test) -> tuple[bytes, ...]:
        """A slip."""
        header = (f"ID: {self.serial}", f"DATE: {test.at:%Y-%m-%d} {test.at:%H:%M}")[: 2 if self.dated else 1]
        lines = [self._slipped(line) for line in test.lines if not line.startswith("TC/HDL")]
        return ("\r\n".join([*header, *lines]).encode() + b"\r\n\r\n\r\n",)

    def _slipped(self, line: str) -> str:
        name, _, value = line.partition(":")
        short = {"HDL CHOL": "HDL", "CALC LDL": "LDL"}.get(name.strip(), name.strip())
        return f"{short}: {'NA' if '--' in value else value.strip()}"


def _lines(texts: tuple[str, ...]) -> Iterator[bytes]:
    for number, text in enumerate(texts):
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        yield f'A60,{FIRST_LINE + LINE_STEP * number:06d},0,4,1,1,N,"{quoted}"\n'.encode()
