"""How numbers, counts and wrong values are written for people, the same in every line, table and chart."""

from __future__ import annotations


def number(value: float) -> str:
    """A measurement in four digits; large whole numbers in full."""
    return f"{value:,.0f}" if abs(value) >= 1e4 and float(value).is_integer() else f"{value:.4g}"


def plural(amount: int, word: str) -> str:
    """1 trial, 2 trials, 5,000 trials."""
    return f"{amount} {word}" if amount == 1 else f"{amount:,} {word}s"


def compact(amount: float) -> str:
    """An amount in three digits and a letter: 950, 4.67 k, 41.3 M, 1.2 G."""
    for limit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(amount) >= limit * 0.9995:
            return f"{amount / limit:.3g} {letter}"
    return f"{amount:.3g}"


def duration(seconds: float) -> str:
    """4.2 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def in_words(value: object) -> str:
    """A value that is not what it must be: None, True, 1.5, the text 'yes', of type dict."""
    if value is None or type(value) in (bool, int, float):
        return repr(value)
    text = f"the text {value!r}" if isinstance(value, str) else f"of type {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:80]}…"
