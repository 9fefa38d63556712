from pathlib import Path

import pytest

from scripts.setup import bootstrap
from scripts.setup.steps import SetUp, SetUpError


def test_environment_that_is_a_link_is_not_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clearing it would delete the packages of another checkout."""
    other, link = tmp_path / "other", tmp_path / ".venv"
    (other / ".set-up").mkdir(parents=True)
    (other / "kept").touch()
    link.symlink_to(other)
    monkeypatch.setattr(bootstrap, "VENV", link)
    monkeypatch.setattr(bootstrap, "PYTHON", link / "bin" / "python")
    monkeypatch.setattr(bootstrap, "_STAMPS", link / ".set-up")
    monkeypatch.setattr(bootstrap, "_UNFINISHED", link / ".set-up" / "unfinished")
    with SetUp(tmp_path / "home") as steps, pytest.raises(SetUpError, match="remove the link"):
        bootstrap._provide_venv(steps)
    assert (other / "kept").exists()
