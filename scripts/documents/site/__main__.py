"""Build the documentation site from the Markdown files and the docstrings of the library.

    ./scripts/docs

The site is written to .dev/site/html; open index.html there in a browser. Sphinx is installed into
a folder of its own at the first run. Warnings are errors, and every link within the site must lead
to a file and an anchor. Exit codes: 0 done, 1 failed, 2 usage.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from scripts.devstack.settings import DEFAULT_HOME
from scripts.documents.site.links import broken_links
from scripts.documents.site.pages import HOME
from scripts.operations.commands import Parser
from scripts.operations.exit_codes import DONE, fail
from scripts.setup.checkout import CHECKOUT
from scripts.setup.python_packages import pip_install
from scripts.setup.steps import SetUp, SetUpError, hash_of

LLMS: Final = CHECKOUT / "docs" / "llms.txt"
SITE: Final = DEFAULT_HOME / "site" / "html"
_HERE: Final = Path(__file__).parent
_LOCK: Final = _HERE / "requirements.lock"
_LINK: Final = re.compile(r"\]\(([^):]+\.md)\)")
_REDIRECT: Final = f"""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url={HOME}.html">
<title>Better Auth resource server</title>
<a href="{HOME}.html">Better Auth resource server</a>
</html>
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Build the site and return the exit code."""
    Parser("docs", __doc__).parse_args(argv)
    try:
        packages = _install()
    except SetUpError as error:
        return fail("docs", error)
    shutil.rmtree(SITE, ignore_errors=True)
    if _run_sphinx(packages).returncode != 0:
        return fail("docs", "the site has errors or warnings (see above): correct the pages")
    (SITE / "index.html").write_text(_REDIRECT, encoding="utf-8")
    (SITE / LLMS.name).write_text(for_the_site(LLMS.read_text(encoding="utf-8")), encoding="utf-8")
    broken = broken_links(SITE)
    if broken:
        print("\n".join(broken), file=sys.stderr)
        return fail("docs", f"{len(broken)} links lead nowhere (see above): correct the pages")
    print(SITE / "index.html")
    return DONE


def for_the_site(llms: str) -> str:
    """Return llms.txt with links to the Markdown that the site has of each page."""

    def source(found: re.Match[str]) -> str:
        path = Path(os.path.normpath(Path("docs", found[1])))
        return f"](_sources/{path.as_posix()}.txt)"

    return _LINK.sub(source, llms)


def _install() -> Path:
    """Install Sphinx beside the packages of the project, and return its folder."""
    folder = DEFAULT_HOME / "site" / "packages"
    with (
        SetUp(DEFAULT_HOME) as steps,
        steps.step("Sphinx", folder / ".set-up", hash_of(_LOCK, sys.version)) as due,
    ):
        if due:
            options = ["--target", str(folder), "--upgrade", "--no-deps", "--require-hashes"]
            command = [*pip_install(Path(sys.executable)), *options, "-r", str(_LOCK)]
            steps.run("site-packages", command)
    return folder


def _run_sphinx(packages: Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--fresh-env"]
    doctrees = ["--doctree-dir", str(SITE.with_name("doctrees"))]
    paths = os.pathsep.join(str(path) for path in (packages, CHECKOUT, CHECKOUT / "keys"))
    return subprocess.run(
        [*command, *doctrees, "--conf-dir", str(_HERE), str(CHECKOUT), str(SITE)],
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main())
