"""web/ is built once for each state of its sources, also for several processes at once."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scripts.setup import web_build
from scripts.setup.node_runtime import NodeRuntime
from scripts.setup.web_build import BuildError, provide_build

# It plays Next: Python runs it, because this "Node" is Python.
BUILD = """
import os, pathlib, shutil
shutil.rmtree(".next", ignore_errors=True)
os.mkdir(".next")
with open("../builds", "a") as builds:
    builds.write("x")
if "broken" in pathlib.Path("page.tsx").read_text():
    raise SystemExit("page.tsx is broken")
"""


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "next.mjs").write_text(BUILD)
    (folder / "page.tsx").write_text("a page")
    monkeypatch.setattr(web_build, "CHECKOUT", tmp_path)
    monkeypatch.setattr(web_build, "WEB", folder)
    monkeypatch.setattr(web_build, "BUILD", folder / ".next")
    monkeypatch.setattr(web_build, "_STAMP", folder / ".next" / "built-from")
    return folder


def node(version: str = "v24.0.0") -> NodeRuntime:
    return NodeRuntime(Path(sys.executable), (), version)


def builds(web: Path) -> int:
    return len((web.parent / "builds").read_text())


def test_unchanged_sources_are_built_once(web: Path) -> None:
    with ThreadPoolExecutor(3) as threads:
        folders = [*threads.map(provide_build, [node()] * 3)]
    assert folders == [web / ".next"] * 3
    assert builds(web) == 1
    (web / ".next" / "cache").write_text("not a source")
    (web / "node_modules").mkdir()
    (web / "node_modules" / "a.js").write_text("not ours")
    provide_build(node())
    assert builds(web) == 1


def test_changed_new_and_removed_sources_and_another_node_are_built_again(web: Path) -> None:
    provide_build(node())
    (web / "page.tsx").write_text("another page")
    provide_build(node())
    (web / "lib").mkdir()
    (web / "lib" / "new.ts").write_text("")
    provide_build(node())
    (web / "lib" / "new.ts").unlink()
    provide_build(node())
    provide_build(node("v26.0.0"))
    assert builds(web) == 5


def test_failed_build_is_an_error_with_its_output_and_is_tried_again(web: Path) -> None:
    (web / "page.tsx").write_text("broken")
    for _ in range(2):
        with pytest.raises(BuildError, match=r"page\.tsx is broken"):
            provide_build(node())
    assert builds(web) == 2
