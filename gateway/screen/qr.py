"""A text as a QR code, drawn as SVG. What the text says is `slip`'s."""

import segno

QUIET_MODULES = 4
"""The white frame that the standard (ISO/IEC 18004) asks for; without it a phone does not find the code."""


def svg(text: str) -> str:
    """`text` in UTF-8 as an <svg> that fills its box; every phone shows it as text, without a network."""
    # Phones take the bytes of a code without ECI for UTF-8; segno would pick Shift JIS for some Chinese.
    code = segno.make_qr(text, error="l", encoding="utf-8", mode="byte")
    return str(code.svg_inline(border=QUIET_MODULES, omitsize=True, svgclass=None, lineclass=None, light="#fff"))
