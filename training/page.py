"""One HTML file that opens anywhere: style, tables and embedded pictures. Knows text and pixels; nothing of results."""

import base64
import html
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

THUMB_PX = 176
STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:66rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}"
    "h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem;border-bottom:1px solid #d8dde3;padding-bottom:.2rem}"
    "table{border-collapse:collapse;margin:.6rem 0}td,th{border-bottom:1px solid #d8dde3;padding:.25rem .7rem;text-align:right}"
    "th{font-weight:600}td{white-space:nowrap}td:first-child,th:first-child{text-align:left}"
    "figure{display:inline-block;margin:.3rem;width:11rem;font-size:12px;vertical-align:top}figcaption{overflow-wrap:anywhere}"
    "img{width:100%;border-radius:3px}.wrong{outline:3px solid #b3261e}.note{color:#57606a}svg{max-width:100%;height:auto}"
    ".plots{display:flex;flex-wrap:wrap;gap:.5rem}"
)


def page(title: str, parts: Iterable[str]) -> str:
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{html.escape(title)}</title><style>{STYLE}</style>\n" + "\n".join(parts) + "</html>\n"
    )


def table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Cells are text, whatever stands in them."""

    def line(tag: str, cells: Sequence[object]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + line("th", head) + "".join(line("td", row) for row in rows) + "</table>"


def picture(bgr: NDArray[np.uint8], words: str, wrong: bool = False) -> str:
    """A thumbnail (any H, W, BGR) with its words."""
    scale = THUMB_PX / max(bgr.shape[:2])
    size = (max(1, round(bgr.shape[1] * scale)), max(1, round(bgr.shape[0] * scale)))
    small = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    data = base64.b64encode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()).decode()
    mark = ' class="wrong"' if wrong else ""
    caption = f"<figcaption>{html.escape(words)}</figcaption>"
    return f'<figure><img{mark} src="data:image/jpeg;base64,{data}" alt="">{caption}</figure>'


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def spread(interval: dict[str, float | None]) -> str:
    if interval["value"] is None:
        return "–"
    return f"{percent(interval['value'])} [{percent(interval['low'])}, {percent(interval['high'])}]"
