"""The colours of a page, one name for a light and a dark value; figures and drawings name them too.

In a figure a colour is written "@ink", or "@series-1/0.2" with its opacity; the page's script puts the value of the
reader's theme in its place, and again when the theme changes. The series are told apart by people with any of the
common colour blindnesses: blue, vermillion, green, purple and ochre after Okabe and Ito (2008), and grey.
"""

from __future__ import annotations

LIGHT = {
    "paper": "#ffffff",
    "panel": "#f6f8fa",
    "ink": "#1b1f24",
    "quiet": "#59636e",
    "line": "#d1d9e0",
    "series-1": "#0072b2",
    "series-2": "#c4560a",
    "series-3": "#00805d",
    "series-4": "#a8548a",
    "series-5": "#946a00",
    "series-6": "#5b6470",
    "marked": "#fff3d6",
}
DARK = {
    "paper": "#14171b",
    "panel": "#1d2126",
    "ink": "#e6e9ed",
    "quiet": "#9aa4af",
    "line": "#363c44",
    "series-1": "#56b4e9",
    "series-2": "#f08a4b",
    "series-3": "#2fc49a",
    "series-4": "#dd93bf",
    "series-5": "#e0b040",
    "series-6": "#9aa4af",
    "marked": "#453a1c",
}
SERIES = tuple(name for name in LIGHT if name.startswith("series-"))


def variables() -> str:
    """Both themes as CSS: the reader's setting chooses; paper is always light."""
    return (
        f":root{{color-scheme:light dark;{_declared(LIGHT)}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{_declared(DARK)}}}}}\n"
    )


def _declared(colours: dict[str, str]) -> str:
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())


def contrast(first: str, second: str) -> float:
    """How far two colours are apart in lightness, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    darker, lighter = sorted((_luminance(first), _luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
