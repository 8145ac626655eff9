"""One HTML file a report: text, tables and embedded figures, readable without a network."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from fdiff.files import write_text

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 Georgia, serif; color: #1b1b1b; max-width: 62rem; margin: 2.5rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font: 14px/1.4 Helvetica, Arial, sans-serif; margin: 1rem 0;
        font-variant-numeric: tabular-nums; }
th, td { padding: .22rem .7rem; text-align: right; }
th { border-bottom: 1.5px solid #1b1b1b; font-weight: 600; }
td { border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
figure { margin: 1.2rem 0; } figure img { max-width: 100%; }
figcaption { font-size: .92rem; color: #444; }
.good { color: #12652f; } .bad { color: #a3231b; font-weight: 600; }
"""


class Report:
    """Collects sections in order and writes one self-contained page."""

    def __init__(self, title: str):
        self.title = title
        self._parts: list[str] = []

    def heading(self, text: str) -> None:
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, paragraph: str) -> None:
        self._parts.append(f"<p>{html.escape(paragraph)}</p>")

    def table(self, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Cells are shown as their ``str``; ``PASS`` and ``FAIL`` are coloured."""
        head = "".join(f"<th>{html.escape(str(cell))}</th>" for cell in header)
        body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
        self._parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")

    def figure(self, figure, caption: str) -> None:
        """Embeds a matplotlib figure, and closes it."""
        import matplotlib.pyplot as plt

        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=150, bbox_inches="tight")
        plt.close(figure)
        data = base64.b64encode(buffer.getvalue()).decode("ascii")
        self._parts.append(
            f'<figure><img alt="{html.escape(caption)}" src="data:image/png;base64,{data}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        )

    def write(self, path: Path | str) -> Path:
        """Writes the page whole or not at all."""
        body = "\n".join(self._parts)
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            f"<title>{html.escape(self.title)}</title><style>{STYLE}</style></head>"
            f"<body><h1>{html.escape(self.title)}</h1>\n{body}\n</body></html>\n"
        )
        return write_text(path, page)


def _cell(value: object) -> str:
    mark = {"PASS": ' class="good"', "FAIL": ' class="bad"'}.get(str(value), "")
    return f"<td{mark}>{html.escape(str(value))}</td>"
