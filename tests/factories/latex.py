"""Reading LaTeX tables back."""

import re


def balanced(text):
    """Whether environments, braces and formulas are closed, and lines have equal columns."""
    for name in re.findall(r"\\begin\{([a-z*]+)\}", text):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}")
    bare = re.sub(r"\\[\\{}%&_$#]", "", text)
    bare = "\n".join(line for line in bare.splitlines() if not line.startswith("%"))
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert text.isascii()
    counts = []
    for part in re.split(r"\\begin\{(?:tabular|longtable)\}", text)[1:]:
        columns = re.match(r"\{@\{\}(l+)@\{\}\}", part)[1]
        body = part[part.index(r"\toprule") : part.index(r"\bottomrule")]
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(columns)}
        assert all("_" not in re.sub(r"\\_", "", row) for row in rows)
        counts.append(len(rows))
    return counts


def bold(text):
    """What is bold in each cell after the first, by that one, over all parts of a table."""
    found = {}
    for line in text.splitlines():
        if " & " in line:
            name, *cells = line.split(" & ")
            bolds = [re.findall(r"\\textbf\{(.*?)\}", cell) for cell in cells]
            found.setdefault(name, []).extend(bolds)
    return found
