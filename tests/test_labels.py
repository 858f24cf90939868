"""One grammar of labels: what a writer puts into a file comes back from it, or is refused before."""

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmapjax.graphs._labels import as_labels, check_label, same_number
from cmapjax.graphs._read import read_market, with_agents
from cmapjax.graphs._write import write_agents, write_allocation, write_graphml
from cmapjax.market._market import Market

ODD = [
    " pad", "pad ", "\u00a0pad", "01", "1", "1.0", "1e5", "100000", "-3", "=x", "'=x", "''-x", "'quoted",
    '"q"', "#a", "# a", "% a", "@at", "+1", "nan", "NAN", "inf", "1_2", "a b", "a,b", "a;b", "(0, 1)", "{}",
    "<&>", "é", "e\u0301", "😀", "٣", "source", "agent", "", "a\tb", "a\nb", "\ufeffa", "\u200b", str(2**63),
    "0" * 30,
]  # fmt: skip
texts = st.sampled_from(ODD) | st.text("01e-+.=' #a", max_size=4)
wholes = st.integers(0, 2**63 - 1) | st.integers(0, 3)
labels = st.lists(texts, min_size=3, max_size=6, unique=True) | st.lists(
    wholes | wholes.map(str), min_size=3, max_size=6, unique=True
)


def cycle(names):
    number = len(names)
    return Market.from_links(
        [(i, (i + 1) % number) for i in range(number)], value=range(1, number + 1), labels=names
    )


def is_kept(names):
    """Whether labels come back with their kind: all of them text, or all of them whole numbers."""
    return all(isinstance(name, str) for name in names) or all(isinstance(name, int) for name in names)


def written(write, *arguments):
    """Whether the writer took the labels; what it refuses, it refuses in words about labels."""
    try:
        write(*arguments)
    except ValueError as error:
        if "label" not in str(error):
            raise
        return False
    return True


@settings(deadline=None)  # the first one imports pyarrow
@given(labels.filter(is_kept))
def test_graphml_comes_back_equal_or_is_not_written(tmp_path_factory, names):
    path = tmp_path_factory.mktemp("labels") / "a.graphml"
    market = cycle(names)
    if written(write_graphml, market, path):
        back = read_market(path, value_attribute="value")
        assert list(back.labels) == names
        assert back.fingerprint() == market.fingerprint()
        assert back.origin.notes == {}
    else:
        assert not path.exists()


@settings(deadline=None)  # the first one imports pyarrow
@given(labels, st.sampled_from([".csv", ".tsv", ".csv.gz", ".parquet"]))
def test_an_agents_table_fits_its_market_again_or_is_not_written(tmp_path_factory, names, ending):
    path = tmp_path_factory.mktemp("labels") / f"a{ending}"
    market = cycle(names)
    if written(write_agents, market, path):
        others = market.with_contributions(value=1.0)
        assert with_agents(others, path).value.tolist() == market.value.tolist()
    else:
        assert not path.exists()


@settings(deadline=None)  # the first one imports pyarrow
@given(labels, st.sampled_from([".csv", ".tsv", ".csv.gz"]))
def test_an_allocation_comes_back_as_the_same_links_or_is_not_written(tmp_path_factory, names, ending):
    path = tmp_path_factory.mktemp("labels") / f"a{ending}"
    market = cycle(names)
    if written(write_allocation, market, market.flow_from_arcs([1.0] * 2 * market.num_links), path):
        back = read_market(path, source_column="giver", target_column="receiver")
        giver, receiver = market.arcs()
        arcs = {(str(names[a]), str(names[b])) for a, b in zip(giver, receiver, strict=True)}
        giver, receiver = back.arcs()
        assert arcs == {
            (str(back.labels[a]), str(back.labels[b])) for a, b in zip(giver, receiver, strict=True)
        }


REFUSED = {
    " pad": "blank", "pad\u3000": "blank", "": "empty", "a\tb": "be written", "\ud800": "be written",
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("writer", [write_graphml, write_agents])
def test_labels_that_readers_would_change_are_not_written(tmp_path, name, writer):
    path = tmp_path / ("a.graphml" if writer is write_graphml else "a.csv")
    with pytest.raises(ValueError, match=f"labels.*{REFUSED[name]}"):
        writer(cycle(["a", "b", name]), path)
    assert not path.exists()


def test_two_labels_of_one_number_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="labels '01' and '1' are the same number"):
        write_graphml(cycle(["01", "x", 1]), tmp_path / "a.graphml")


def test_whole_numbers_as_text_stay_text(tmp_path):
    market = cycle(["7", "5", "6"])
    write_graphml(market, tmp_path / "a.graphml")
    assert list(read_market(tmp_path / "a.graphml").labels) == ["7", "5", "6"]
    assert set(nx.read_graphml(tmp_path / "a.graphml")) == {"7", "5", "6"}
    write_graphml(cycle([7, 5, 6]), tmp_path / "b.graphml")
    assert list(read_market(tmp_path / "b.graphml").labels) == [7, 5, 6]


def test_numbers_are_compared_exactly():
    assert same_number(["9007199254740993", "9007199254740992.0"]) is None
    assert same_number(["9007199254740993", "9007199254740993.0"])
    assert same_number(["nan", "NaN", "inf", "Infinity", "1e999999999", "sNaN"]) is None
    assert same_number(["1e999999999", "10e999999998"])
    assert same_number(["1" * 50_000, "+" + "1" * 50_000])


def test_labels_are_integers_where_all_are_whole_and_fit():
    assert as_labels(["0", str(2**63 - 1)]) == [0, 2**63 - 1]
    assert as_labels(["0", str(2**63)]) == ["0", str(2**63)]
    assert as_labels(["0", "9" * 100_000])[0] == "0"
    for text in ODD:
        is_text = bool(text) and text == text.strip() and "\t" not in text and "\n" not in text
        if is_text:
            check_label(text)
        else:
            with pytest.raises(ValueError, match="label"):
                check_label(text)
