"""The table of `benchmarks.conformance`, and its entrants."""

import pytest

from benchmarks.conformance import __main__, table
from benchmarks.conformance.entrants import ENTRANTS, Site, check_of
from benchmarks.conformance.table import PAGE, Report
from scripts.setup.checkout import CHECKOUT
from scripts.setup.steps import SetUpError


def report(**verdicts: str) -> Report:
    rows = [
        {"name": name, "verdict": verdict, "expected": f"{name} is right"}
        for name, verdict in verdicts.items()
    ]
    passed = list(verdicts.values()).count("pass")
    applicable = len(rows) - list(verdicts.values()).count("not applicable")
    return Report.parse({"rows": rows, "passed": passed, "applicable": applicable})


def test_table_shows_the_rows_that_differ_and_names_the_others() -> None:
    lines = table.table(
        {
            "a": report(x="pass", y="pass", z="not applicable"),
            "b": report(x="pass", y="fail", z="not applicable"),
            "c": "not checked: no network",
        }
    ).splitlines()
    assert lines == [
        "| Row | Expected | a | b |",
        "|---|---|---|---|",
        "| passed | | 2 of 2 | 1 of 2 |",
        "| y | y is right | yes | **no** |",
        "",
        "Passed by all to which they apply: x.",
        "",
        "c: not checked: no network.",
    ]


def test_page_has_every_entrant() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [each.title for each in ENTRANTS if each.title not in page] == []


def test_each_server_exists() -> None:
    servers = CHECKOUT / "benchmarks" / "conformance" / "servers"
    peers = CHECKOUT / "benchmarks" / "peers"
    for entrant in ENTRANTS:
        assert (servers / f"{entrant.name}.py").exists() or (peers / f"{entrant.name}.mjs").exists()


def test_issuer_with_https_is_named_with_a_slash_and_has_a_certificate() -> None:
    [entrant] = [each for each in ENTRANTS if each.https]
    site = Site(1, 2, CHECKOUT)
    command = check_of(entrant, site)
    assert command[command.index("--issuer") + 1] == "https://127.0.0.1:2/"
    assert command[command.index("--certificate") + 1] == str(site.certificate)


def test_library_that_cannot_be_installed_gets_a_row_that_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(_entrant: object) -> Report:
        raise SetUpError("no network")

    monkeypatch.setattr(__main__, "checked", failing)
    assert __main__.main(["--only", "bridge"]) == 0
    assert capsys.readouterr().out == "fastapi-better-auth-bridge: not checked: no network\n"
    assert __main__.main(["--only", "ours"]) == 1
