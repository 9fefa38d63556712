"""Two builds of one commit are equal byte for byte."""

import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from scripts.releases.distributions import build_twice
from scripts.releases.products import LIBRARY, ReleaseError
from scripts.releases.source_tree import Commit
from scripts.setup.checkout import CHECKOUT

pytestmark = pytest.mark.slow


def head(checkout: Path) -> Commit:
    command = ["git", "log", "-1", "--format=%H %ct"]
    identifier, seconds = subprocess.check_output(command, cwd=checkout, text=True).split()
    return Commit(identifier, int(seconds))


def test_distributions_are_built_twice_and_equal(tmp_path: Path) -> None:
    version = LIBRARY.version(CHECKOUT)
    wheel, sdist, application = build_twice(head(CHECKOUT), CHECKOUT, tmp_path)
    assert wheel.name == f"better_auth_keys-{version}-py3-none-any.whl"
    assert sdist.name == f"better_auth_keys-{version}.tar.gz"
    assert application.name.startswith("better_auth_resource_server-")
    seconds = head(CHECKOUT).seconds
    with tarfile.open(sdist) as files:
        assert {file.mtime for file in files} == {seconds}
    with zipfile.ZipFile(wheel) as archive:
        assert len({file.date_time for file in archive.infolist()}) == 1


def test_build_that_depends_on_its_surroundings_is_refused(tmp_path: Path) -> None:
    subprocess.run(
        ["git", "clone", "-q", "--no-hardlinks", CHECKOUT, tmp_path / "clone"], check=True
    )
    clone = tmp_path / "clone"
    (clone / "keys" / "hatch_build.py").write_text(
        "import os\n"
        "from pathlib import Path\n"
        "from hatchling.builders.hooks.plugin.interface import BuildHookInterface\n"
        "class Hook(BuildHookInterface):\n"
        "    def initialize(self, version, build_data):\n"
        "        Path(self.root, 'better_auth_keys', 'zone.py').write_text(os.environ['TZ'])\n"
    )
    project = clone / "keys" / "pyproject.toml"
    project.write_text(project.read_text() + "\n[tool.hatch.build.hooks.custom]\n")
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.com"]
    subprocess.run([*git, "add", "."], cwd=clone, check=True)
    subprocess.run([*git, "commit", "-qm", "Depend on the time zone"], cwd=clone, check=True)
    with pytest.raises(
        ReleaseError, match=r"two builds of one commit differ: better_auth_keys-\S+whl"
    ):
        build_twice(head(clone), clone, tmp_path)
