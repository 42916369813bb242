"""Static HTML and text of a board and of a conversation: what the saved notebook shows with no kernel. Pure.

Everything that comes from a task, a model or a user is escaped; there is no script. Colours are inherited, so that
light and dark pages both show it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ..events.values import encodable
from ..tasks.progress import plain_number

__all__ = ["MAX_ROWS", "board_html", "board_text", "duration", "transcript_html", "transcript_text"]

MAX_ROWS = 200
MAX_TEXT = 2000
_BAR = 20
_WORDS = {
    "queued": "waiting",
    "running": "running",
    "done": "done",
    "failed": "failed",
    "cancelled": "cancelled",
    "timed_out": "timed out",
    "lost": "lost",
}
_WHO = {"user": "You", "assistant": "Voice", "note": "Note"}
_WAITS = "Waiting for your approval"
_CELL = 'style="text-align:left;vertical-align:top;padding:2px 10px 2px 0"'
_PRE = 'style="white-space:pre-wrap;overflow-wrap:anywhere"'


def duration(seconds: float | None) -> str:
    """Return a length of time to read: "0.4 s", "12 s", "3 min 5 s", "2 h 4 min"; "" for None."""
    if seconds is None or seconds != seconds or seconds < 0:
        return ""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(min(seconds, 1e9))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def board_text(rows: Sequence[Mapping[str, Any]], hint: str = "") -> str:
    """Return a board as plain text, a line for each of the last ``MAX_ROWS`` rows."""
    lines = [_row_text(row) for row in rows[-MAX_ROWS:]]
    if len(rows) > MAX_ROWS:
        lines.insert(0, f"({len(rows) - MAX_ROWS} earlier runs are not shown)")
    return "\n".join(lines) or _empty(hint)


def board_html(rows: Sequence[Mapping[str, Any]], hint: str = "") -> str:
    """Return a board as HTML, a table row for each of the last ``MAX_ROWS`` rows."""
    if not rows:
        return _verbatim(f"<p>{escape(_empty(hint))}</p>")
    earlier = len(rows) - MAX_ROWS
    note = f"<p>{earlier} earlier runs are not shown.</p>" if earlier > 0 else ""
    body = "".join(_row_html(row) for row in rows[-MAX_ROWS:])
    heads = "".join(f"<th {_CELL}>{name}</th>" for name in ("Task", "Run", "Progress", "Time", "Result"))
    return _verbatim(f"{note}<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>")


def transcript_text(
    captions: Sequence[Mapping[str, Any]], detail: str = "", questions: Sequence[Mapping[str, Any]] = ()
) -> str:
    """Return a conversation as plain text, with the questions that are open."""
    lines = [f"{_WHO.get(item['role'], 'Note')}: {_bounded(item['text'])}" for item in captions]
    lines += [f"{_WAITS}: {_bounded(item['text'])}" for item in questions]
    return "\n".join(lines) or detail or "Nothing was said yet."


def transcript_html(
    captions: Sequence[Mapping[str, Any]], detail: str = "", questions: Sequence[Mapping[str, Any]] = ()
) -> str:
    """Return a conversation as HTML, with the questions that are open."""
    said = [(_WHO.get(item["role"], "Note"), item["text"]) for item in captions]
    said += [(_WAITS, item["text"]) for item in questions]
    if not said:
        return _verbatim(f"<p>{escape(detail or 'Nothing was said yet.')}</p>")
    lines = (f"<div {_PRE}><strong>{who}:</strong> {escape(_bounded(text))}</div>" for who, text in said)
    return _verbatim("".join(lines))


def _verbatim(html: str) -> str:
    """Keep MathJax, of JupyterLab or of nbconvert, from typesetting what stands between dollar signs."""
    return f'<div class="tex2jax_ignore mathjax_ignore">{html}</div>'


def _row_text(row: Mapping[str, Any]) -> str:
    parts = [f"Task {row['number']}: {_bounded(row['label'])}", _status(row)]
    fraction = row["fraction"]
    if fraction is not None:
        filled = round(_BAR * _share(fraction))
        parts.append(f"[{'#' * filled}{'.' * (_BAR - filled)}] {_percent(fraction)}")
    parts += [part for part in (*_remarks(row), _times(row)) if part]
    end = _bounded(row["error"] or row["text"])
    return ", ".join(parts) + (f": {end}" if end else "")


def _row_html(row: Mapping[str, Any]) -> str:
    fraction = row["fraction"]
    bar = ""
    if fraction is not None:
        percent = _percent(fraction)
        bar = f'<progress value="{_share(fraction):.3f}" max="1">{percent}</progress> {percent} '
    said = ", ".join((_status(row), *_remarks(row)))
    if row["error"]:
        end = f"<strong>Error:</strong> <span {_PRE}>{escape(_bounded(row['error']))}</span>"
    else:
        end = f"<span {_PRE}>{escape(_bounded(row['text']))}</span>"
    cells = (str(row["number"]), escape(_bounded(row["label"])), bar + escape(said), escape(_times(row)), end)
    return "<tr>" + "".join(f"<td {_CELL}>{cell}</td>" for cell in cells) + "</tr>"


def _status(row: Mapping[str, Any]) -> str:
    return "waiting" if row.get("waits") else _WORDS.get(row["status"], str(row["status"]))


def _remarks(row: Mapping[str, Any]) -> list[str]:
    """Return how a task stands, and what it reported last; each thing once."""
    found = (_bounded(row.get("note") or ""), _counts(row), _bounded(row["message"]))
    return list(dict.fromkeys(part for part in found if part))


def _empty(hint: str) -> str:
    return f"No runs yet. {hint}".rstrip()


def _share(fraction: float) -> float:
    return min(1.0, max(0.0, fraction)) if fraction == fraction else 0.0


def _percent(fraction: float) -> str:
    return f"{int(100 * _share(fraction))} %"


def _counts(row: Mapping[str, Any]) -> str:
    done, total = plain_number(row["done"]), plain_number(row["total"])
    if done is None:
        return ""
    return f"{done:g} of {total:g}" if total is not None else f"{done:g}"


def _times(row: Mapping[str, Any]) -> str:
    # Nought is what has not begun.
    elapsed, eta = duration(row["elapsed_s"] or None), duration(row["eta_s"])
    if row["status"] == "running" and eta:
        return f"{elapsed}, {eta} left" if elapsed else f"{eta} left"
    return elapsed


def _bounded(text: str) -> str:
    return encodable(text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…")
