"""How numbers and counts are written for people, the same in every line, table and chart."""

from __future__ import annotations


def number(value: float) -> str:
    """A measurement in four digits; large whole numbers in full."""
    return f"{value:,.0f}" if abs(value) >= 1e4 and float(value).is_integer() else f"{value:.4g}"


def plural(amount: int, word: str) -> str:
    """1 trial, 2 trials."""
    return f"{amount} {word}" if amount == 1 else f"{amount} {word}s"
