"""Tables in every format."""

import pandas as pd
import pytest
from factories.latex import balanced

from ebm_bench.report.columns import Column, Interval, Table
from ebm_bench.report.tables import formats

# Looks like an interval, a formula, a power of ten, a comment and a column, and is none.
STRANGE = r"λ_μ & 5% [a, b] ± $x$ 1e−5 #1 {~^} \b"


def table(*rows, columns=None, **about):
    """A table of the given rows of values."""
    heads = columns or [f"head {j}" for j in range(len(rows[0]))]
    made = [Column(head, head, lambda row, j=j: row[j]) for j, head in enumerate(heads)]
    return Table(made, list(rows), about.pop("caption", ""), "tab:x", **about)


def test_a_strange_label_survives_every_format():
    exact = pd.DataFrame({"method": [STRANGE]})
    made = table((STRANGE, Interval(1.5e-5, 1e-5, 2e-5)), caption=STRANGE, exact=exact)
    written = formats.texts(made)
    assert written["md"].count(STRANGE) == 2
    assert formats.plain(made).count(STRANGE) == 1
    assert written["csv"] == f'method\n"{STRANGE}"\n'
    label = (
        r"\ensuremath{\lambda}\_\ensuremath{\mu} \& 5\% [a, b] \ensuremath{\pm} \$x\$ "
        r"1e\ensuremath{-}5 \#1 \{{\textasciitilde}{\textasciicircum}\} {\textbackslash}b"
    )
    assert rf"\caption{{{label}}}" in written["tex"]
    line = next(x for x in written["tex"].splitlines() if x.endswith(r"\\") and "lambda" in x)
    power = r"\ensuremath{\times10^{-5}}"
    assert line == (rf"{label} & 1.50{power} {{\scriptsize [1.00{power}, 2.00{power}]}} \\")
    assert balanced(written["tex"]) == [2]


def test_a_bar_does_not_end_a_cell_of_markdown():
    assert r"| a\|b " in formats.markdown(table(("a|b",)))
    assert r"| \|x\| " in formats.markdown(table((1,), columns=["|x|"]))


@pytest.mark.parametrize("sign", list("&%$#_{}~^\\−≈↓∞<χλμ²±†世"))
def test_latex_escapes(sign):
    assert formats.escape(sign) != sign
    assert formats.escape(sign).isascii()


@pytest.mark.parametrize(
    ("x", "written"),
    [
        (1.2e-5, r"1.20\ensuremath{\times10^{-5}}"),
        (-3.74e6, r"\ensuremath{-}3.74\ensuremath{\times10^{6}}"),
        (-0.25, r"\ensuremath{-}0.250"),
        (None, r"{\textendash}"),
    ],
)
def test_numbers_in_latex(x, written):
    assert formats.latex_number(x) == written


def test_wide_tables_are_cut_and_long_ones_broken():
    heads = ["Method", *(f"metric {i}" for i in range(20))]
    wide = [(name, *["0.123456"] * 20) for name in "ab"]
    text = formats.latex(table(*wide, columns=heads))
    assert len(balanced(text)) > 1
    assert text.count("a & ") == len(balanced(text))
    text = formats.latex(table(*((str(i), "3") for i in range(formats.LONG + 1))))
    assert "longtable" in text
    balanced(text)
    text = formats.latex(table(*((str(i), "3") for i in range(formats.LONG + 1)), apart=2))
    assert "1 & 3 \\\\\n\\midrule\n2 & 3" in text
    text = formats.latex(table(*(wide * 20), columns=heads, caption="A caption."))
    assert text.count(r"\end{table*}") == len(balanced(text)) > 1
    assert text.count("A caption.") == 1


def test_a_table_without_rows_has_its_heads():
    empty = table(columns=["Method", "n"])
    assert "| Method   | n   |" in formats.markdown(empty)
    assert balanced(formats.latex(empty)) == [1]
