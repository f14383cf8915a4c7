"""Rows of words as a table: for a terminal, and for Markdown."""

from __future__ import annotations

from collections.abc import Sequence

Row = Sequence[str]


def markdown(head: Row, rows: Sequence[Row]) -> str:
    """A table of a page."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in lines)


def columns(rows: Sequence[Row]) -> list[str]:
    """Lines in which each column is as wide as its widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
