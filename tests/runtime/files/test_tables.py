"""Numbers that were written to a CSV file are read without a change. Invalid CSV files are refused."""

import numpy as np
import pytest

import vaedge
from vaedge.files.shards import write_table
from vaedge.files.tables import format_header, format_rows, read_table


@pytest.fixture
def write(tmp_path):
    def write_text(text, encoding="utf-8"):
        (tmp_path / "x.csv").write_bytes(text.encode(encoding))
        return tmp_path / "x.csv"

    return write_text


def test_every_float32_is_read_back(tmp_path):
    bits = np.random.default_rng(0).integers(0, 2**32, 20_000, dtype=np.uint32).view(np.float32)
    x = np.append(bits[np.isfinite(bits)], np.float32([0.1, -0.0, 1e-45, 3.4028235e38, 16777217])).astype(np.float32)
    x = x[: len(x) // 4 * 4].reshape(-1, 4)
    with (tmp_path / "x.csv").open("wb") as file:
        file.write(format_header(["a", 'b "quoted", with a comma', "c", "d"]))
        file.writelines(format_rows(x[:, :1], x[:, 1:]))
    table = read_table(tmp_path / "x.csv")
    assert table.names == ("a", 'b "quoted", with a comma', "c", "d")
    np.testing.assert_array_equal(table.values.view(np.uint32), x.view(np.uint32))


def test_numbers_and_texts_are_written_in_full():
    written = b"".join(format_rows(np.array(["a,b", "c"]), np.array([0.1, 1 / 3]), np.float32([[0.1], [2]])))
    assert written == b'"a,b",0.1,0.1\nc,0.3333333333333333,2.0\n'


def test_labels_and_numbers_are_separated(write):
    table = read_table(write("a, kind ,b\n1,no,2\n3, yes,4e0\n"), "kind")
    assert table.names == ("a", "b")
    assert table.labels == ("no", "yes")
    np.testing.assert_array_equal(table.values, np.float32([[1, 2], [3, 4]]))


@pytest.mark.parametrize("text", ["a,b\r\n1,2\r\n", "\ufeffa,b\n1,2", 'a,"b"\n"1", 2\n\n\n'])
def test_common_forms_of_csv_are_read(write, text):
    table = read_table(write(text))
    assert table.names == ("a", "b")
    np.testing.assert_array_equal(table.values, [[1, 2]])


@pytest.mark.parametrize("header", ["0,1", "2019,2021", "9,10"])
def test_numbered_columns_are_names(write, header):
    assert read_table(write(f"{header}\n5,6\n")).names == tuple(header.split(","))


def test_repeated_integers_are_no_names(write):
    """A first line of numbers is a header only if the numbers increase.

    Other files whose first line holds only numbers are refused, because their header is missing.
    """
    with pytest.raises(vaedge.InputError, match="header"):
        read_table(write("9,9\n5,6\n"))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("b", "the columns 'a', 'c' are missing; expected a, b, c"),
        (
            "a,B,c,kind",
            "the column 'b' is missing, and the model does not know the columns 'B', 'kind' .*; expected a, b, c",
        ),
    ],
)
def test_all_columns_that_differ_are_named(write, header, message):
    text = f"{header}\n{','.join('1' * len(header.split(',')))}\n"
    with pytest.raises(vaedge.InputError, match=f"x.csv has other columns than the model: {message}$"):
        read_table(write(text), features=("a", "b", "c"))


def test_chosen_columns_are_read_in_their_order(write):
    table = read_table(write("b,text,a\n1,x,2\n"), columns=["a", "b"])
    np.testing.assert_array_equal(table.values, [[2, 1]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.csv is empty"),
        ("a,b\n", "has no rows after the header"),
        ("a,,b\n1,2,3\n", "column 2 has the name ''"),
        ("a,b,a\n1,2,3\n", "two columns have the name 'a'"),
        ("a\x1b[2J\n1\n", "column 1 has the name"),
        ("0.5,1.5\n1,2\n", "x.csv has no header: its first line holds only numbers, 0.5, 1.5; add a first line with"),
        ("5,0,0\n1,2,3\n", "x.csv has no header: its first line holds only numbers, 5, 0, 0"),
        ("5,7,6\n1,2,3\n", "x.csv has no header"),
        ("a;b\n1;2\n", "has one column, 'a;b'; separate the columns by commas"),
        ("a,b\n1,2\n\n3,4\n", "line 3: the line is empty"),
        ("a,b\n1,1_000\n", "line 2, column 'b': '1_000' is not a number"),
        ('a,b\n1,"2\n3"\n', "line 3, column 'b': .* is not a number"),
        ("a,b\n1,2,3\n", "line 2: the row has 3 fields; the header has 2 columns"),
        ("a,b\n1,  \n", "line 2, column 'b': the value is missing; fill it in"),
    ],
)
def test_invalid_file_is_refused(write, text, message):
    with pytest.raises(vaedge.InputError, match=message):
        read_table(write(text))


def test_file_that_is_not_text_is_refused(write, tmp_path):
    for text, encoding in (("ä,b\n1,2\n", "latin-1"), ("a,b\n1,2\n", "utf-16"), ("a" * 200_000 + "\n1\n", "utf-8")):
        with pytest.raises(vaedge.InputError, match="x.csv cannot be read as a CSV file"):
            read_table(write(text, encoding))
    with pytest.raises(vaedge.InputError, match="none.csv does not exist"):
        read_table(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,b\n1,2\n3,\n,\n", {}, "line 3, column 'b': the value is missing; .* Missing values in the file: 3$"),
        ("a,b\n1,NA\n3,\n", {}, r"line 2, column 'b': the value is missing \('NA'\); .* in the file: 2$"),
        ("a,b\nnan,2\n3,\n", {}, r"line 2, column 'a': the value is missing \('nan'\); .* in the file: 2$"),
        ("a,b\n-nan,2\n", {}, r"line 2, column 'a': the value is missing \('-nan'\); .* in the file: 1$"),
        ("a, b \n1,?\n1\n1,2,3\n", {}, "line 2, column 'b': .* in the file: 1$"),
        ("a,kind,b\n,no,2\n3,NA,4\n", {"label_column": "kind"}, "line 2, column 'a': .* in the file: 1$"),
        ("a,text,b\n1,,\n3,,4\n", {"columns": ["b", "a"]}, "line 2, column 'b': .* in the file: 1$"),
        ("a\n" + "1\n" * 5000 + "nan\n" + "1\n" * 5000 + "NA\n", {}, "line 5002, .* in the file: 2$"),
    ],
)
def test_missing_values_are_counted_and_the_first_one_is_named(write, text, options, message):
    with pytest.raises(vaedge.InputError, match=message):
        read_table(write(text), **options)


def test_rows_know_their_lines(write):
    np.testing.assert_array_equal(read_table(write('a,b\n1,2\n3,"4\n"\n5,6\n\n')).lines, [2, 4, 5])
    np.testing.assert_array_equal(read_table(write("a\n" + "1\n" * 9000)).lines, np.arange(2, 9002))


def test_late_row_is_named_by_its_line(write):
    rows = ["1,2"] * 9000
    rows[8500] = "1,inf"
    with pytest.raises(vaedge.InputError, match="line 8502, column 'b': inf is not a finite number"):
        read_table(write("a,b\n" + "\n".join(rows)))


class Rows:
    n, row_bytes = 1500, 2**16  # at this size, 1,024 rows are written at a time

    def __init__(self, fail=False):
        self.next, self.fail = 0, fail

    def take(self, count):
        if self.fail and self.next:
            raise vaedge.InputError("late")
        rows = np.arange(self.next, self.next + count, dtype=np.float32)
        self.next += count
        return {"a": rows[:, None], "b": np.stack([rows, -rows], 1)}


def test_source_is_written_side_by_side(tmp_path):
    write_table(tmp_path / "x.csv", Rows(), ["a", "b0", "b1"], lambda _: None)
    rows = np.arange(1500)
    np.testing.assert_array_equal(read_table(tmp_path / "x.csv").values, np.stack([rows, rows, -rows], 1))


def test_failed_source_leaves_no_file(tmp_path):
    with pytest.raises(vaedge.InputError, match="late"):
        write_table(tmp_path / "x.csv", Rows(fail=True), ["a", "b0", "b1"], lambda _: None)
    assert not list(tmp_path.iterdir())
