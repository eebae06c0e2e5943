"""How a table is written as Markdown and as LaTeX."""

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
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "∞": r"$\infty$",
    "‖": r"$\|$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "<": "$<$",
    "χ": r"$\chi$",
    "σ": r"$\sigma$",
    "ν": r"$\nu$",
    "²": "$^2$",
}


def markdown(table: pd.DataFrame, caption: str) -> str:
    """Write a table as Markdown, its caption above it."""
    return f"{caption}\n\n{table.to_markdown(index=False, disable_numparse=True)}\n"


def latex(table: pd.DataFrame, caption: str, label: str) -> str:
    """Write a table as LaTeX that needs the packages booktabs and graphicx.

    Parameters
    ----------
    table : DataFrame of str
        What it shows; controls, marked in the first column, are set apart by a rule.
    caption, label : str
        Of the table.
    """
    body = [table.columns, *table.itertuples(index=False)]
    lines = [" & ".join(escape(str(text)) for text in row) + r" \\" for row in body]
    controls = [str(row[0]) == "control" for row in table.itertuples(index=False)]
    if True in controls[1:]:
        lines.insert(1 + controls.index(True), r"\midrule")
    return "\n".join(
        [
            "% needs \\usepackage{booktabs,graphicx}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape(caption)}}}",
            rf"\label{{{label}}}",
            r"\resizebox{\textwidth}{!}{%",
            rf"\begin{{tabular}}{{{'l' * table.shape[1]}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
            "",
        ]
    )


def escape(text: str) -> str:
    """Write text so that LaTeX shows it as it is."""
    return "".join(_LATEX.get(sign, sign) for sign in text)
