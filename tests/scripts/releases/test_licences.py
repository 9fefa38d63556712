"""Everything that is distributed has a licence that is allowed."""

import pytest

from scripts.releases.licences import (
    EXCEPTIONS,
    Licensed,
    is_allowed,
    main,
    npm_packages,
    python_packages,
)
from scripts.setup.checkout import CHECKOUT

CASES = {
    "MIT": True,
    "Apache-2.0 OR GPL-3.0-only": True,
    "Apache-2.0 AND GPL-3.0-only": False,
    "MPL-2.0 AND (Apache-2.0 OR MIT)": True,
    "MIT AND (GPL-3.0-only OR AGPL-3.0-only)": False,
    "(MIT OR GPL-3.0-only) AND (ISC OR GPL-3.0-only)": True,
    "LGPL-3.0-or-later": False,
    "unknown": False,
    "": False,
}


@pytest.mark.parametrize(("licence", "allowed"), CASES.items())
def test_expression_is_allowed_if_allowed_licences_fulfil_it(
    licence: str, *, allowed: bool
) -> None:
    assert is_allowed(Licensed("npm", "example", "1.0.0", licence)) is allowed


def test_exception_holds_for_its_packages_only() -> None:
    assert is_allowed(Licensed("npm", "@img/sharp-libvips-linux-x64", "1", "LGPL-3.0-or-later"))
    assert not is_allowed(Licensed("npm", "sharp", "1", "LGPL-3.0-or-later"))


def test_all_distributed_packages_are_allowed() -> None:
    packages = [*python_packages(CHECKOUT), *npm_packages(CHECKOUT)]
    assert [package for package in packages if not is_allowed(package)] == []
    names = {package.name for package in packages}
    assert {"fastapi", "cryptography", "next", "better-auth"} <= names
    assert "typescript" not in names, "only development uses it"


def test_every_exception_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for pattern in EXCEPTIONS:
        others = {name: value for name, value in EXCEPTIONS.items() if name != pattern}
        with monkeypatch.context() as patch:
            patch.setattr("scripts.releases.licences.EXCEPTIONS", others)
            assert not all(is_allowed(package) for package in npm_packages(CHECKOUT)), pattern


def test_command_fails_and_names_what_is_not_allowed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 0
    monkeypatch.setattr("scripts.releases.licences.ALLOWED", frozenset({"MIT"}))
    assert main([]) == 1
    assert "not allowed: asyncpg (Apache-2.0)" in capsys.readouterr().err
