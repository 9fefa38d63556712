"""Check the links of a built site: each leads to a file of the site, and to an anchor in it."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    """Collects the anchors of a page, and its links."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the attributes of one tag."""
        del tag
        for name, value in attrs:
            if value is not None and name in {"id", "name"}:
                self.anchors.add(value)
            elif value is not None and name in {"href", "src"}:
                self.links.add(value)


def broken_links(site: Path) -> list[str]:
    """Return the links that lead nowhere, as `page: link`. Links to other hosts are left out."""
    pages = {path.resolve(): _read(path) for path in sorted(site.rglob("*.html"))}
    broken = []
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            anchors = pages[target].anchors if target in pages else set()
            if not target.exists() or (anchor and target in pages and anchor not in anchors):
                broken.append(f"{path.relative_to(site.resolve())}: {link}")
    return broken


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page
