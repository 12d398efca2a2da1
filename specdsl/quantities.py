"""Numbers as reports write them: bytes in units, percentages with three digits that count."""

from __future__ import annotations

import math


def bytes_text(count: int) -> str:
    """Bytes in a unit that leaves at most four digits.

    >>> bytes_text(24_576), bytes_text(512)
    ('24.6 kB', '512 B')
    """
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def percent_text(share: float, signed: bool = False) -> str:
    """A share in percent, without exponent, rounded to three digits that count.

    >>> percent_text(3.1e-06), percent_text(0.00724), percent_text(1.1595, signed=True)
    ('0.00031 %', '0.724 %', '+116 %')
    """
    percent = 100 * share
    if not percent:
        return "0 %"
    decimals = max(0, 2 - math.floor(math.log10(abs(percent))))
    written = f"{percent:{'+' if signed else ''}.{decimals}f}"
    # Larger ones keep their zeros, so that the percentages of a column are equally exact.
    return f"{written.rstrip('0').rstrip('.') if abs(percent) < 0.1 else written} %"
