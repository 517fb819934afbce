"""How a measurement is written for people: the words of `nasengine.wording`, which the report shares."""

from nasengine.wording import number, plural

__all__ = ["number", "plural"]
