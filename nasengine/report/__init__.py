"""A finished or running run as one page: reads records, never live objects."""

from nasengine.report.blocks import Code, Columns, Details, Drawing, Facts, Figure, Heading, Mark, Table, Text
from nasengine.report.page import Page, Section

__all__ = [
    "Code",
    "Columns",
    "Details",
    "Drawing",
    "Facts",
    "Figure",
    "Heading",
    "Mark",
    "Page",
    "Section",
    "Table",
    "Text",
]
