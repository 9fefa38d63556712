from xml.etree import ElementTree as ET

from benchmarks.page import PAGE, plot_of, replaced
from benchmarks.report import markdown, table, warnings
from benchmarks.samples import Results, Sample

SERVERS = ["service", "fastify"]


def results() -> Results:
    made = Results()
    for ours in (60.0, 80.0):
        made.add("list", "service", Sample(10, 900.0, 1.0, 4.0, ours, 20.0, 0.5, {"503": 1}))
        made.add("list", "fastify", Sample(10, 800.0, 1.0, 2.0, 100.0, 10.0, 0.99, {}))
    return made


def test_table_has_median_ratio_and_range() -> None:
    first = table(results(), SERVERS, "fastify").splitlines()[2]
    cells = [cell.strip() for cell in first.strip("|").split("|")]
    assert cells == ["list of 20", "70 (0.70) [60-80]", "100 [100-100]"]


def test_columns_line_up() -> None:
    lines = markdown(["a", "b"], [["long cell", "1"], ["x", "22222"]]).splitlines()
    assert len({len(line) for line in lines}) == 1


def test_warnings_name_unexpected_answers_and_a_busy_load() -> None:
    wrong, busy = warnings(results(), SERVERS)
    assert wrong == "service, list: unexpected answers: 2 x 503"
    assert busy.startswith("fastify, list: the load's core was busy (99%)")


def test_block_between_the_markers_is_replaced_and_nothing_else() -> None:
    page = PAGE.read_text(encoding="utf-8")
    once = replaced(page, "BLOCK 1")
    assert replaced(once, "BLOCK 2") == once.replace("BLOCK 1", "BLOCK 2")
    before, _, after = once.partition("BLOCK 1")
    assert page.startswith(before.rstrip())
    assert page.endswith(after.lstrip())


def test_plot_is_xml_with_a_bar_for_each_server() -> None:
    root = ET.fromstring(plot_of(results(), SERVERS))  # noqa: S314 - our own writing
    texts = [element.text for element in root if element.tag.endswith("text")]
    assert texts[1:] == ["list of 20", "70 this service", "100 Fastify"]
