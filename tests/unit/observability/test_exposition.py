"""The text that Prometheus reads."""

from neod.observability.exposition import Metric, by, by_two, number, page, plain


def test_a_page_has_help_type_and_samples_of_every_family():
    families = [
        Metric("a_total", "counter", "All of a.", plain(3)),
        Metric("b", "gauge", "Some b.", by({"y": 2, "x": 1}, "which")),
        Metric("c", "gauge", "None at all.", ()),
    ]
    assert page(families).splitlines() == [
        "# HELP a_total All of a.",
        "# TYPE a_total counter",
        "a_total 3",
        "# HELP b Some b.",
        "# TYPE b gauge",
        'b{which="x"} 1',
        'b{which="y"} 2',
        "# HELP c None at all.",
        "# TYPE c gauge",
    ]


def test_labels_are_escaped():
    family = Metric("a", "gauge", "A.", plain(1, label='a\\b"c\nd'))
    assert page([family]).splitlines()[-1] == 'a{label="a\\\\b\\"c\\nd"} 1'


def test_two_labels_come_in_order():
    family = Metric("a", "gauge", "A.", by_two({("link", "b"): 1, ("link", "a"): 2}, "kind", "phase"))
    assert page([family]).splitlines()[2:] == ['a{kind="link",phase="a"} 2', 'a{kind="link",phase="b"} 1']


def test_numbers_are_written_as_prometheus_reads_them():
    assert [number(n) for n in (0, True, 1.0, 0.25, float("inf"))] == ["0", "1", "1", "0.25", "+Inf"]
