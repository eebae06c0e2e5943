"""Tables as Markdown, plain text, LaTeX and CSV."""

from functools import cache
from pathlib import Path

import pandas as pd
from pylatexenc.latexencode import UnicodeToLatexEncoder

from ebm_bench.report.columns import Cell, Notation, Table, cell_of
from ebm_bench.report.formatting import digits
from ebm_bench.utils.files import replacing

# Estimated widths, in points of footnotesize and scriptsize type.
_LETTER, _SMALL_LETTER, _GAP = 4.2, 3.6, 8.0
TEXT_WIDTH = 390.0  # points: fits into the narrowest of the usual pages, 5.5 inches
COLUMN_WIDTH = 230.0
TALL = 9  # letters beyond which the head of a narrow column is turned
LONG = 55  # lines beyond which a table has to be broken over pages
_NEEDS = "% needs LaTeX of 2020 or later, and \\usepackage{{{}}}{}"
_ENCODER = UnicodeToLatexEncoder(unknown_char_policy="unihex")


def write(texts: dict[str, str], results: Path, name: str) -> list[Path]:
    """Write a table to its files in a folder of results, given its text by file ending."""
    return [save(text, results / "tables" / f"{name}.{ending}") for ending, text in texts.items()]


def save(text: str, path: Path) -> Path:
    """Write a text to a file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def texts(table: Table, paper: Table | None = None) -> dict[str, str]:
    """Write a table in all formats, by file ending; LaTeX may show another one for papers."""
    tex = latex(paper, LATEX_PAPER) if paper else latex(table)
    csv = table.exact.to_csv(index=False) if table.exact is not None else ""
    return {"md": markdown(table), "tex": tex, "csv": csv}


def frame(table: Table) -> pd.DataFrame:
    """Write the values of a table as plain text."""
    cells = [[str(cell_of(value)) for value in row] for row in table.values()]
    return pd.DataFrame(cells, columns=[column.head for column in table.columns])


def markdown(table: Table) -> str:
    """Write a table as Markdown, below its caption."""

    def escaped(text: str) -> str:
        return text.replace("|", r"\|")

    shown = frame(table).map(escaped).rename(columns=escaped)
    return f"{table.caption}\n\n{shown.to_markdown(index=False, disable_numparse=True)}\n"


def plain(table: Table) -> str:
    """Write a table for a terminal."""
    shown = frame(table).to_markdown(index=False, tablefmt="simple", disable_numparse=True)
    return f"{shown}\n"


@cache
def escape(text: str) -> str:
    """Write text in LaTeX so that it is printed as it is."""
    # An empty line would end a caption, and two hyphens are a dash.
    return _ENCODER.unicode_to_latex(" ".join(text.split()) if "\n" in text else text).replace(
        "--", "-{}-"
    )


def latex_number(x: float | None, decimals: int | None = None) -> str:
    """Write a number in LaTeX, as `formatting.number` does, with powers of ten as such."""
    mantissa, power = digits(x, decimals)
    times = "" if power is None else rf"\ensuremath{{\times10^{{{power}}}}}"
    return "".join(map(escape, mantissa)) + times


LATEX = Notation(escape, latex_number)
LATEX_PAPER = Notation(escape, latex_number, paper=True)


def latex(table: Table, notation: Notation = LATEX) -> str:
    """Write a table as LaTeX, for booktabs and graphicx, and longtable where it is long.

    A table that is wider than the text is cut into parts that stand below each other, each
    with the columns that identify its rows.
    """
    values = table.values()
    rows = [
        [
            _cell(cell_of(value, notation), column.best(row))
            for value, column in zip(found, table.columns, strict=True)
        ]
        for found, row in zip(values, table.rows, strict=True)
    ]
    heads, widths = _heads(table, values)
    parts = _parts(widths, table.keys)
    about = [rf"\caption{{{escape(table.caption)}}}", rf"\label{{{table.label}}}"]
    if len(rows) > LONG:
        return _long(heads, rows, about, table.apart)
    wide = max(sum(widths[j] for j in columns) for columns in parts) > COLUMN_WIDTH
    kind = "table*" if wide else "table"
    begin = [rf"\begin{{{kind}}}", r"\centering"]
    type_size = [r"\par\medskip", r"\footnotesize", r"\setlength{\tabcolsep}{4pt}"]
    again = rf"\caption{{Continues Table~\ref{{{table.label}}}.}}"
    # A float does not break over pages.
    tall = len(parts) * (len(rows) + 3) > LONG
    between = [rf"\end{{{kind}}}", *begin, again, *type_size] if tall else [r"\par\medskip"]
    lines = [_NEEDS.format("booktabs,graphicx", ""), *begin, *about, *type_size]
    for k, columns in enumerate(parts):
        head, *body = (_line(row, columns) for row in [heads, *rows])
        if table.apart:
            body.insert(table.apart, r"\midrule")
        lines += [
            *(between if k else []),
            rf"\begin{{tabular}}{_layout(columns)}",
            *_under(head),
            *body,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    return "\n".join([*lines, rf"\end{{{kind}}}", ""])


def _long(heads: list[str], rows: list[list[str]], about: list[str], apart: int | None) -> str:
    columns = list(range(len(heads)))
    head, *body = (_line(row, columns) for row in [heads, *rows])
    if apart:
        body.insert(apart, r"\midrule")
    return "\n".join(
        [
            _NEEDS.format("booktabs,graphicx,longtable", ", and a page of one column"),
            r"{\footnotesize\setlength{\tabcolsep}{4pt}",
            rf"\begin{{longtable}}{_layout(columns)}",
            "".join(about) + r" \\",
            *_under(head),
            r"\endfirsthead",
            *_under(head),
            r"\endhead",
            r"\bottomrule",
            r"\endfoot",
            *body,
            r"\end{longtable}}",
            "",
        ]
    )


def _cell(cell: Cell, bold: bool) -> str:
    main = rf"\textbf{{{cell.main}}}" if bold else cell.main
    interval = cell.interval and rf"{{\scriptsize {cell.interval}}}"
    return str(cell._replace(main=main, interval=interval))


def _heads(table: Table, values: list[list]) -> tuple[list[str], list[float]]:
    """Write the heads, turned where they are much wider than their column, and find widths."""
    heads, widths = [], []
    for j, column in enumerate(table.columns):
        head, own = escape(column.head), _width(Cell(column.head))
        body = max((_width(cell_of(row[j])) for row in values), default=0.0)
        turned = len(column.head) > TALL and own > 2 * body
        heads.append(rf"\rotatebox{{90}}{{{head}}}" if turned else head)
        widths.append(body if turned else max(own, body))
    return heads, widths


def _width(cell: Cell) -> float:
    """Estimate the width of a cell in points."""
    small = len(cell.interval)
    return _LETTER * (len(str(cell)) - small) + _SMALL_LETTER * small + _GAP


def _parts(widths: list[float], keys: int) -> list[list[int]]:
    """Cut columns into parts that are no wider than the text, each with the first ones."""
    first = list(range(keys))
    parts = [first]
    for j in range(keys, len(widths)):
        if len(parts[-1]) > keys and sum(widths[i] for i in [*parts[-1], j]) > TEXT_WIDTH:
            parts.append(first)
        parts[-1] = [*parts[-1], j]
    return parts


def _layout(columns: list[int]) -> str:
    return rf"{{@{{}}{'l' * len(columns)}@{{}}}}"


def _under(head: str) -> list[str]:
    return [r"\toprule", head, r"\midrule"]


def _line(texts: list[str], columns: list[int]) -> str:
    return " & ".join(texts[j] for j in columns) + r" \\"
