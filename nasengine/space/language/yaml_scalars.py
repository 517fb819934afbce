"""What an unquoted YAML scalar means: the core schema of YAML 1.2 (section 10.3.2), finite numbers only.

`1.7e9` and `1e-3` are numbers, `0o17` is octal and `010` is ten; `on`, `yes`, `12:30` and `2026-01-01` are words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool | None

LARGEST_INTEGER = 2**63 - 1

_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_REAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: Mapping[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def resolve_scalar(text: str) -> Scalar:
    """What an unquoted scalar means in the core schema of YAML 1.2 (section 10.3.2).

    Raises:
        ValueError: a number that is not finite or has more than 64 bits; the message says which.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text) or _OCTAL.fullmatch(text) or _HEXADECIMAL.fullmatch(text):
        base = 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10
        number = int(text, base) if len(text) <= 80 else LARGEST_INTEGER + 1
        if abs(number) > LARGEST_INTEGER:
            raise ValueError(f"the number {_short(text)} is larger than 64 bits hold")
        return number
    if _REAL.fullmatch(text):
        real = float(text)
        if math.isinf(real):
            raise ValueError(f"the number {_short(text)} is larger than a float holds")
        return real
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is not a finite number")
    return text


def _short(text: str) -> str:
    return text if len(text) <= 30 else f"{text[:27]}…"
