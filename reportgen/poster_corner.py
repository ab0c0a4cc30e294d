"""The corner of a sheet beside its title: logos and the QR code, and what width they leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reportgen.poster_layout import Sheet

QR = 62.0  # side of the code in mm on A0
LOGO = 44.0  # side of a square logo, in mm on A0; others have its area
MOST_LOGOS = 0.3  # of the sheet's width


@dataclass(frozen=True)
class Logo:
    """A picture of the user's beside the title."""

    file: str
    aspect: float  # height over width
    alt: str


def logo_widths(sheet: Sheet, logos: Sequence[Logo]) -> list[float]:
    """The widths of the logos in mm: all of the same area, together not too wide."""
    own = [min(LOGO / logo.aspect**0.5, 3 * LOGO, QR / logo.aspect) * sheet.unit for logo in logos]
    room = max(MOST_LOGOS * sheet.width - 16 * sheet.unit * len(logos), LOGO * sheet.unit)
    return [width * min(1.0, room / sum(own)) for width in own]


def corner_width(sheet: Sheet, logos: Sequence[Logo], address: str) -> float:
    """The width of logos and QR code together; a billboard gives them its panel."""
    if sheet.billboard:
        return sheet.wide
    width = sum(logo_widths(sheet, logos)) + 16 * sheet.unit * len(logos)
    return width + (QR * 1.6 * sheet.unit if address else 0.0)


def title_width(sheet: Sheet, logos: Sequence[Logo], address: str) -> float:
    """The width of the title: the sheet's, less what stands in its corner; on a billboard, that of a bar."""
    if sheet.billboard:
        return sheet.column
    corner = corner_width(sheet, logos, address)
    return sheet.width - 2 * sheet.margin - (corner + 20 * sheet.unit if corner else 0.0)
