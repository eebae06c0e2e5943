"""Points from files: what is read, how it is scaled and split, and what is refused."""

import math
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ebm_bench import datasets
from ebm_bench.errors import InputError
from ebm_bench.plugins.checks.datasets import CHECKS, Case
from ebm_bench.streams import Streams
from tests.factories.data import correlated

X = correlated()


def points(path, **settings):
    return datasets.create("points", path=str(path), **settings)


def everything(dataset):
    """All rows in the units of the file, in the order of the file's first column."""
    splits = ("train", "validation", "test")
    rows = dataset._data.rows[np.concatenate([dataset._data.split.of(s) for s in splits])]
    found = dataset.to_units(rows).numpy()
    return found[np.argsort(found[:, 0])]


def in_order(x):
    return np.asarray(x, dtype=float)[np.argsort(np.asarray(x, dtype=float)[:, 0])]


def csv(text):
    return lambda path: path.write_text(text)


def lines(x, separator=",", form="{!r}"):
    return "\n".join(separator.join(form.format(float(v)) for v in row) for row in x) + "\n"


def table(**columns):
    return lambda path: pq.write_table(pa.table(columns), path)


STRUCTURED = np.array([tuple(row) for row in X], dtype=[("b", "<f8"), ("a", ">f4")])
READ = {
    "huge.npy": lambda path: np.save(path, 1e300 * X),
    "float64.npy": lambda path: np.save(path, X),
    "upper.NPY": lambda path: np.save(path.open("wb"), X),
    "float16.npy": lambda path: np.save(path, X.astype(np.float16)),
    "big-endian.npy": lambda path: np.save(path, X.astype(">f8")),
    "fortran.npy": lambda path: np.save(path, np.asfortranarray(X)),
    "integers.npy": lambda path: np.save(path, X.round().astype(int)),
    "unsigned.npy": lambda path: np.save(path, X.round().astype(np.uint16)),
    "structured.npy": lambda path: np.save(path, STRUCTURED),
    "longdouble.npy": lambda path: np.save(path, X.astype(np.longdouble)),
    "header.csv": csv("a,b\n" + lines(X)),
    "none.csv": csv(lines(X)),
    "semicolon.csv": csv("a;b\n" + lines(X, ";")),
    "tab.csv": csv("a\tb\n" + lines(X, "\t")),
    "bar.csv": csv(lines(X, "|")),
    "spaces.csv": csv(lines(X, "   ")),
    "quoted.csv": csv('"a, of it","b"\n' + lines(X, ",", '"{!r}"')),
    "years.csv": csv("name,1990\n" + lines(X)),
    "windows.csv": lambda path: path.write_bytes(
        b"\xef\xbb\xbfa,b\r\n" + lines(X).replace("\n", "\r\n").encode()
    ),
    "savetxt.csv": lambda path: np.savetxt(path, X, fmt="%.17g", delimiter=",", header="a,b"),
    "pandas.csv": lambda path: pd.DataFrame(X).to_csv(path, index=False),
    "years-of-pandas.csv": lambda path: pd.DataFrame(X, columns=[2019, 2020]).to_csv(
        path, index=False),
    "blank.csv": csv("\na,b\n\n" + lines(X) + "\n\n"),
    "no-last-newline.csv": csv(lines(X).strip()),
    "integers.csv": csv("a,b\n" + "\n".join(f"{a:.0f},{b:.0f}" for a, b in X)),
    "plain.parquet": table(a=X[:, 0], b=X[:, 1]),
    "pandas.parquet": lambda path: pd.DataFrame(X[::-1], columns=["a", "b"],
                                                index=range(len(X), 0, -1)).to_parquet(path),
    "filtered.parquet": lambda path: (
        pd.DataFrame(X, columns=["a", "b"]).sample(frac=1, random_state=0).to_parquet(path)
    ),
    "float32.parquet": table(a=X[:, 0].astype(np.float32), b=X[:, 1].astype(np.float32)),
    "decimal.parquet": table(a=pa.array(X[:, 0]).cast(pa.decimal128(20, 12), safe=False),
                             b=X[:, 1]),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_reads(name, tmp_path):
    READ[name](tmp_path / name)
    dataset = points(tmp_path / name)
    assert dataset.event_shape == (2,)
    rounded = "integers" in name or "unsigned" in name
    expected = X.astype(np.float16) if "float16" in name else X.round() if rounded else X
    expected = 1e300 * X if "huge" in name else expected
    found = everything(dataset)
    assert found.shape == (500, 2)
    for j in range(2):
        np.testing.assert_allclose(np.sort(found[:, j]), np.sort(expected[:, j]), rtol=3e-6)


def test_leading_zeros_of_named_columns_are_no_decimal_commas(tmp_path):
    path = tmp_path / "months.csv"
    path.write_text("year,month\n" + "".join(f"{1950 + i},{i % 12 + 1:02}\n" for i in range(99)))
    assert everything(points(path))[:, 1].max() == pytest.approx(12)


def test_names_are_those_of_the_file(tmp_path):
    for name, names in (("header.csv", ["a", "b"]), ("none.csv", ["0", "1"]),
                        ("savetxt.csv", ["a", "b"]), ("quoted.csv", ["a, of it", "b"]),
                        ("years.csv", ["name", "1990"]), ("structured.npy", ["b", "a"]),
                        ("filtered.parquet", ["a", "b"])):  # fmt: skip
        READ[name](tmp_path / name)
        assert points(tmp_path / name).names == names


@pytest.mark.parametrize("columns", [["b"], [1], ["b", "a"], [0, 1]])
def test_columns_are_chosen_by_name_or_position(columns, tmp_path):
    (tmp_path / "x.csv").write_text("a,b,label\n" + lines(X).replace("\n", ",cat\n"))
    found = points(tmp_path / "x.csv", columns=columns)
    wanted = X[:, [{"a": 0, "b": 1}.get(c, c) for c in columns]]
    np.testing.assert_allclose(everything(found), in_order(wanted), rtol=1e-6)


def with_value(value, row=17, column=1):
    x = X.copy()
    x[row, column] = value
    return x


def saved(x):
    return lambda path: np.save(path, x)


EPOCH = 1.7e9 + np.arange(500.0)[::-1]
LONG = 1_700_000_000_000_000_000 + np.arange(500)[::-1] * 3
TEXT = "a,b\n" + lines(X)
TENTHS = 0.1 * np.arange(1, 501) / np.arange(1, 501)  # but for rounding
SINGLE = 0.1 + 1e-8 * (np.arange(500) % 3)
REFUSED = {
    # FAULTS.md
    "nan.npy": (saved(with_value(np.nan)), "row 17"),
    "inf.npy": (saved(with_value(-np.inf)), "row 17"),
    "constant.npy": (saved(np.stack([X[:, 0], np.full(500, 3.0)], 1)), "'1'.*3"),
    "flat.npy": (saved(X[:, 0]), r"\(500,\)"),
    "one.npy": (saved(X[:1]), "1 points are too few"),
    "object.npy": (lambda path: np.save(path, X.astype(object), allow_pickle=True), "object.npy"),
    "missing.npy": (lambda path: None, "does not exist"),
    # relatives
    "rounding.npy": (saved(np.stack([X[:, 0], TENTHS], 1)), "constant.*'1'.*0.1"),
    "single.npy": (saved(np.stack([X[:, 0], SINGLE], 1).astype("f4")), "constant.*'1'.*0.1"),
    "rounding.csv": (csv("a,b\n" + lines(np.stack([X[:, 0], TENTHS], 1))), "constant.*'b'"),
    "none.npy": (saved(X[:0]), "none.npy"),
    "no-columns.npy": (saved(X[:, :0]), "no-columns.npy"),
    "scalar.npy": (saved(np.float64(3)), r"shape \(\)"),
    "cube.npy": (saved(np.zeros((5, 4, 3))), r"\(5, 4, 3\)"),
    "complex.npy": (saved(X + 1j), "complex128"),
    "bool.npy": (saved(X > 100), "bool"),
    "text.npy": (saved(X.astype(str)), "real numbers"),
    "dates.npy": (saved(X.astype("datetime64[s]")), "datetime64"),
    "names.npy": (saved(np.array([(1.0, "x")] * 20, dtype=[("a", "f8"), ("b", "U3")])), "'b'"),
    "folder.npy": (lambda path: path.mkdir(), "is a folder"),
    "zip.npy": (lambda path: np.savez(path.open("wb"), X), "archive"),
    "arrays.npz": (lambda path: np.savez(path, X), "'.npz'"),
    "several.npy": (saved(np.zeros(20, dtype=[("a", "f8", (3,)), ("b", "f8")])), "'a'.*several in"),
    "no-zip.npy": (lambda path: path.write_bytes(b"PK\x03\x04 cut"), "numpy.save"),
    "no-header.npy": (lambda path: (np.save(path, X), path.write_bytes(
        path.read_bytes().replace(b"(500, 2)", b"((((((("))), "numpy.save"),
    "vast.npy": (lambda path: (np.save(path, X), path.write_bytes(
        path.read_bytes().replace(b"(500, 2)", b"(9" + b"9" * 30 + b", 2)"))), "numpy.save"),
    "cut.npy": (lambda path: (np.save(path, X), path.write_bytes(path.read_bytes()[:500])),
                "cut.npy"),
    "table.npy": (csv(TEXT), "numpy.save"),
    "table.txt": (csv(TEXT), r"\.npy, \.csv, \.parquet"),
    "outlier.npy": (saved(with_value(1e15)), "distinct"),
    "index.npy": (saved(np.stack([np.arange(500), X[:, 0]], 1)), "counts the rows: column '0'"),
    "wide.npy": (saved(X[:12].T), "too few"),
    "empty.csv": (csv(""), "is empty"),
    "header-only.csv": (csv("a,b\n"), "0 points"),
    "missing.csv": (csv("a,b\n" + lines(X).replace(repr(float(X[2, 1])), "")),
                    "missing values: column 'b' in line 4"),
    "na.csv": (csv(lines(X).replace(repr(float(X[2, 1])), "NA")), "column '1' in line 3"),
    "nan.csv": (csv("\n" + lines(X).replace(repr(float(X[2, 1])), "nan")), "line 4"),
    "inf.csv": (csv(TEXT.replace(repr(float(X[2, 1])), "inf")), "not finite.*line 4"),
    "label.csv": (csv("a,b\n" + lines(X).replace("\n", ",cat\n")), "columns"),
    "labels.csv": (csv("a,b,kind\n" + lines(X).replace("\n", ",cat\n")), "'kind'.*'cat'"),
    "commas.csv": (csv("a;b\n" + lines(X, ";").replace(".", ",")), "Decimal commas"),
    "ragged.csv": (csv(TEXT + "1,2,3\n"), r"line 502 \(3\)"),
    "short.csv": (csv(TEXT + "1\n"), r"line 502 \(1\)"),
    "latin.csv": (lambda path: path.write_bytes(b"gr\xf6\xdfe,b\n" + lines(X).encode()), "UTF-8"),
    "decimals.csv": (csv(lines(X[:, :1]).replace(".", ",")), "decimal commas, as it seems"),
    "pairs.csv": (csv(lines(X).replace(",", ";").replace(".", ",").replace(";", ",")), "commas"),
    "pipe.csv": (os.mkfifo, "no file of data"),
    "utf16.csv": (lambda path: path.write_text(TEXT, encoding="utf-16"), "UTF-8"),
    "index.csv": (lambda path: pd.DataFrame(X).to_csv(path), "counts the rows"),
    "numbers.csv": (lambda path: pd.DataFrame(X, index=range(1, 501)).to_csv(path), "counts"),
    "array.csv": (saved(X), "array.csv"),
    "first.csv": (csv(f"5%,{float(X[0, 1])!r}\n" + lines(X)), "'0' .line 1: '5%'"),
    "first-byte.csv": (csv("\0" + lines(X)), "line 1"),
    "underscores.csv": (csv(TEXT + "1_0,2\n"), "'a' .line 502: '1_0'"),
    "vast.csv": (csv("a,b\n" + "\n".join(f"{10**400 + i},{i * 0.3}" for i in range(50))),
                 "not finite.*line 2"),
    "nulls.parquet": (table(a=X[:, 0], b=[None, *X[1:, 1]]), "'b' in row 0"),
    "nan.parquet": (table(a=with_value(np.nan)[:, 1], b=X[:, 1]), "row 17"),
    "text.parquet": (table(a=X[:, 0], b=["x"] * 500), r"'b' \(string\)"),
    "nested.parquet": (table(a=X[:, 0], b=[[1.0, 2.0]] * 500), "'b'.*list"),
    "bool.parquet": (table(a=X[:, 0], b=X[:, 1] > 0), "bool"),
    "dates.parquet": (table(a=X[:, 0], b=X[:, 1].astype("datetime64[s]")), "timestamp"),
    "index.parquet": (lambda path: pd.DataFrame(X, columns=["a", "b"]).rename_axis("id")
                      .reset_index().to_parquet(path), "'id'"),
    "csv.parquet": (csv(TEXT), "Parquet"),
    "big.csv": (csv("a,b\n" + "\n".join(f"{10**17 + int(k)},{float(k)}"
                                        for k in np.random.default_rng(0).permutation(500))),
                "distinct"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_in_one_message_with_the_file(name, tmp_path):
    write, reason = REFUSED[name]
    write(tmp_path / name)
    with pytest.raises(InputError, match=reason) as error:
        points(tmp_path / name).event_shape  # noqa: B018
    assert name in str(error.value)


def test_epoch_seconds_keep_their_values(tmp_path):
    np.save(tmp_path / "x.npy", np.stack([EPOCH, X[:, 0]], 1))
    found = points(tmp_path / "x.npy")
    assert len(np.unique(found._data.rows[:, 0])) == 500
    np.testing.assert_allclose(
        everything(found), in_order(np.stack([EPOCH, X[:, 0]], 1)), atol=1e-3
    )
    with pytest.raises(InputError, match=r"column '0' \(. of 500 distinct.*standardise: true"):
        points(tmp_path / "x.npy", standardise=False).event_shape  # noqa: B018


@pytest.mark.parametrize("ending", ["npy", "csv", "parquet"])
def test_whole_numbers_beyond_double_precision_are_refused(ending, tmp_path):
    path = tmp_path / f"x.{ending}"
    if ending == "npy":
        np.save(path, np.stack([LONG, LONG[np.random.default_rng(0).permutation(500)]], 1))
    elif ending == "csv":
        path.write_text("t,x\n" + "\n".join(f"{t},{i % 7}" for i, t in enumerate(LONG)))
    else:
        pq.write_table(pa.table({"t": LONG, "x": X[:, 0]}), path)
    with pytest.raises(InputError, match="of 500 distinct values"):
        points(path).event_shape  # noqa: B018


def test_splits_are_disjoint_whole_and_seeded(tmp_path):
    np.save(tmp_path / "x.npy", X)
    found = points(tmp_path / "x.npy", validation=0.2, test=0.15)
    parts = [found._data.split.of(s) for s in ("train", "validation", "test")]
    assert [len(p) for p in parts] == [found.size(s) for s in ("train", "validation", "test")]
    assert [len(p) for p in parts] == [325, 100, 75]
    assert sorted(np.concatenate(parts)) == list(range(500))
    again, other = (points(tmp_path / "x.npy", split_seed=s) for s in (0, 1))
    assert (again._data.split.of("test")[:10] == found._data.split.of("test")[-50:][:10]).sum() < 11
    assert (again._data.split.of("test") != other._data.split.of("test")).any()
    with pytest.raises(InputError, match="unknown split 'tests'"):
        found.size("tests")
    with pytest.raises(InputError, match="too few"):
        points(tmp_path / "x.npy", validation=0.5, test=0.5).event_shape  # noqa: B018


def test_training_rows_alone_give_mean_and_scale(tmp_path):
    np.save(tmp_path / "x.npy", X)
    found = points(tmp_path / "x.npy")
    train = X[found._data.split.of("train")]
    np.testing.assert_allclose(found._data.location, train.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found._data.scale, train.std(0), rtol=1e-12)
    rows = found._data.rows[found._data.split.of("train")].double()
    torch.testing.assert_close(rows.mean(0), torch.zeros(2).double(), atol=1e-6, rtol=0)


def test_held_out_rows_are_not_repeated_before_all_were_drawn(tmp_path):
    np.save(tmp_path / "x.npy", X)
    found = points(tmp_path / "x.npy")
    drawn = found.sample(50, Streams(0, 2), "test")
    assert len(torch.unique(drawn[0], dim=0)) == len(torch.unique(drawn[1], dim=0)) == 50
    assert found.sample(120, Streams(0, 2), "test").shape == (2, 120, 2)


def test_log_det_is_that_of_the_scale(tmp_path):
    np.save(tmp_path / "x.npy", X)
    found, plain = points(tmp_path / "x.npy"), points(tmp_path / "x.npy", standardise=False)
    y = found.sample(3, Streams(0, 2))
    expected = -np.log(X[found._data.split.of("train")].std(0)).sum()
    torch.testing.assert_close(found.log_det(y), torch.full((2, 3), expected).float())
    assert (plain.log_det(y) == 0).all()
    assert "standard deviation" in found.space
    assert "not scaled" in plain.space
    assert math.isclose(found.log_det(y[0, 0]).item(), expected, rel_tol=1e-6)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_contract(check, tmp_path):
    np.save(tmp_path / "x.npy", X)
    case = Case("points", {"path": str(tmp_path / "x.npy")})
    if check.applies(case):
        check(case)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_batches_have_each_row_once(split, tmp_path):
    np.save(tmp_path / "x.npy", X)
    dataset = points(tmp_path / "x.npy")
    found = torch.cat(list(dataset.batches(Streams(0, 2), split)), 1)
    assert found.shape == (2, dataset.size(split), 2)
    assert len(found[1].unique(dim=0)) == dataset.size(split)
    drawn = dataset.sample(dataset.size(split), Streams(0, 2), split)[0]
    assert {tuple(row) for row in drawn.tolist()} <= {tuple(row) for row in found[0].tolist()}
