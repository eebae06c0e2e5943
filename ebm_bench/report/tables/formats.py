"""How a table is written as Markdown and as LaTeX."""

import re

import numpy as np
import pandas as pd

# What LaTeX needs in place of a character; pdflatex knows few of them.
_LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "–": "--",
    "≈": r"$\approx$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "∞": r"$\infty$",
    "‖": r"$\|$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "<": "$<$",
    ">": "$>$",
    "χ": r"$\chi$",
    "σ": r"$\sigma$",
    "ν": r"$\nu$",
    "²": "$^2$",
    "±": r"$\pm$",
    "†": r"$\dagger$",
    "Δ": r"$\Delta$",
    "θ": r"$\theta$",
    "…": r"\dots{}",
    "ä": r"\"a",
    "ö": r"\"o",
    "ü": r"\"u",
    "é": r"\'e",
    "ć": r"\'c",
    "š": r"\v{s}",
}
_POWER = re.compile(r"(\d)e(−?)(\d+)")
_INTERVAL = re.compile(r" (\[[^\]]*\]|± \S+)")
# Estimated widths, in points of footnotesize and scriptsize type.
_LETTER, _SMALL_LETTER, _GAP = 4.2, 3.6, 8.0
TEXT_WIDTH = 390.0  # points: fits into the narrowest of the usual pages, 5.5 inches
COLUMN_WIDTH = 230.0
TALL = 9  # letters beyond which the head of a narrow column is turned
LONG = 55  # lines beyond which a table has to be broken over pages


def markdown(table: pd.DataFrame, caption: str) -> str:
    """Write a table as Markdown, its caption above it."""
    return f"{caption}\n\n{table.to_markdown(index=False, disable_numparse=True)}\n"


def latex(
    table: pd.DataFrame,
    caption: str,
    label: str,
    best: np.ndarray | None = None,
    keys: int = 1,
    apart: int | None = None,
) -> str:
    """Write a table as LaTeX, for booktabs and graphicx, and longtable where it is long.

    A table that is wider than the text is cut into parts that stand below each other, each
    with the columns that name its rows.

    Parameters
    ----------
    table : DataFrame of str
        What it shows.
    caption, label : str
        Of the table.
    best : array of bool, the shape of the table, optional
        What is set in bold.
    keys : int
        How many of the first columns name a row.
    apart : int, optional
        The first of the rows that a rule sets apart.
    """
    texts = [
        [cell(str(text), best is not None and bool(best[i, j])) for j, text in enumerate(row)]
        for i, row in enumerate(table.itertuples(index=False))
    ]
    heads = [escape(str(name)) for name in table.columns]
    widths = []
    for j, name in enumerate(map(str, table.columns)):
        body = max([_width(str(text)) for text in table.iloc[:, j]], default=0.0)
        if len(name) > TALL and _width(name) > 2 * body:
            heads[j] = rf"\rotatebox{{90}}{{{heads[j]}}}"
            widths.append(body)
        else:
            widths.append(max(_width(name), body))
    parts = _parts(widths, keys)
    about = rf"\caption{{{escape(caption)}}}", rf"\label{{{label}}}"
    if len(table) > LONG:
        (columns,) = parts if len(parts) == 1 else [list(range(len(heads)))]
        return _long(heads, texts, columns, about)
    wide = max(sum(widths[j] for j in columns) for columns in parts) > COLUMN_WIDTH
    kind = "table*" if wide else "table"
    head = [rf"\begin{{{kind}}}", r"\centering"]
    type_size = [r"\par\medskip", r"\footnotesize", r"\setlength{\tabcolsep}{4pt}"]
    again = [
        rf"\end{{{kind}}}",
        *head,
        rf"\caption{{Continues Table~\ref{{{label}}}.}}",
        *type_size,
    ]
    # A float does not break over pages.
    tall = len(parts) * (len(table) + 3) > LONG
    lines = ["% needs \\usepackage{booktabs,graphicx}", *head, *about, *type_size]
    for k, columns in enumerate(parts):
        lines += (again if tall else [r"\par\medskip"]) if k else []
        lines += _tabular(heads, texts, columns, apart)
    return "\n".join([*lines, rf"\end{{{kind}}}", ""])


def cell(text: str, bold: bool = False) -> str:
    """Write a number, with its interval in smaller type, or a text."""
    number, interval, rest = _split(text)
    shown = rf"\textbf{{{escape(number)}}}" if bold else escape(number)
    return shown + (rf" {{\scriptsize {escape(interval)}}}" if interval else "") + escape(rest)


def _split(text: str) -> tuple[str, str, str]:
    found = _INTERVAL.search(text)
    if not found:
        return text, "", ""
    return text[: found.start()], found[1], text[found.end() :]


def escape(text: str) -> str:
    """Write text so that LaTeX shows it as it is, and ``1.2e−5`` as a power of ten."""
    parts = _POWER.split(text)
    written = "".join(_LATEX.get(sign, sign) for sign in parts[0])
    for digit, sign, power, rest in zip(*(parts[i::4] for i in range(1, 5)), strict=True):
        exponent = power if not sign else f"-{power}"
        tail = "".join(_LATEX.get(sign, sign) for sign in rest)
        written += rf"{digit}$\times10^{{{exponent}}}${tail}"
    return written


def _tabular(heads: list[str], texts: list, columns: list[int], apart: int | None) -> list[str]:
    rows = [_line(row, columns) for row in texts]
    if apart:
        rows.insert(apart, r"\midrule")
    return [
        rf"\begin{{tabular}}{{@{{}}{'l' * len(columns)}@{{}}}}",
        r"\toprule",
        _line(heads, columns),
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]


def _long(heads: list[str], texts: list, columns: list[int], about: tuple[str, str]) -> str:
    return "\n".join(
        [
            "% needs \\usepackage{booktabs,longtable}, and a page of one column",
            r"{\footnotesize\setlength{\tabcolsep}{4pt}",
            rf"\begin{{longtable}}{{@{{}}{'l' * len(columns)}@{{}}}}",
            "".join(about) + r" \\",
            r"\toprule",
            _line(heads, columns),
            r"\midrule",
            r"\endfirsthead",
            r"\toprule",
            _line(heads, columns),
            r"\midrule",
            r"\endhead",
            r"\bottomrule",
            r"\endfoot",
            *(_line(row, columns) for row in texts),
            r"\end{longtable}}",
            "",
        ]
    )


def _line(texts: list[str], columns: list[int]) -> str:
    return " & ".join(texts[j] for j in columns) + r" \\"


def _width(text: str) -> float:
    """Estimate the width of a cell in points."""
    found = _INTERVAL.search(text)
    small = len(found[0]) if found else 0
    return _LETTER * (len(text) - small) + _SMALL_LETTER * small + _GAP


def _parts(widths: list[float], keys: int) -> list[list[int]]:
    """Cut columns into parts that are no wider than the text, each with the first ones."""
    first = list(range(keys))
    parts: list[list[int]] = []
    current = list(first)
    for j in range(keys, len(widths)):
        if len(current) > keys and sum(widths[i] for i in [*current, j]) > TEXT_WIDTH:
            parts.append(current)
            current = list(first)
        current.append(j)
    return [*parts, current]
