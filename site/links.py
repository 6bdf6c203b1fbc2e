"""Checks the links of built pages."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links and anchors of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        names = dict(attributes)
        self.anchors |= {names[name] for name in ("id", "name") if names.get(name)}
        link = names.get("href") or names.get("src")
        if link and tag in ("a", "img", "link", "script"):
            self.links.append(link)


def broken(folder: Path) -> list[str]:
    """A sentence for each link between the pages of `folder` that leads nowhere."""
    # The page that has all others repeats their links from another place.
    files = [path for path in sorted(folder.rglob("*.html")) if path.name not in ("print.html", "toc.html", "404.html")]
    pages = {path.resolve(): Page(path.read_text()) for path in files}
    problems = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            name = path.relative_to(folder.resolve())
            if not target.exists():
                problems.append(f"site: {name}: {link}: no such file")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                problems.append(f"site: {name}: {link}: no such heading")
    return problems
