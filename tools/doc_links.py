"""Checks that every relative link of every Markdown file leads somewhere, its heading included.

`python -m tools.doc_links` prints what does not resolve and exits 1. Links to other sites are not
followed. The headings' anchors are those that GitHub and GitLab make. A file of the project that a
document names in `code` exists too. The README stays short: what makes it longer belongs on a page
of docs/.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
HEADING = re.compile(r"#{1,6}\s+(.+?)\s*#*$")
NAMED = re.compile(r"`([\w-]+/(?:[\w.-]+/)*(?:[\w.-]+\.\w+)?)(?:::[^`]*)?`")
"""A file with its suffix, or a folder that ends with a slash; `::` and a test's name may follow."""
HISTORY = ("CHANGELOG.md", "UPGRADING.md")
"""Documents that name what was."""
README_WORDS = 600
FENCE = re.compile(r"\s*(```|~~~)")


def documents(root: Path) -> list[Path]:
    """Returns the Markdown files below a folder, without those in hidden and generated folders."""
    return sorted(
        path
        for path in root.rglob("*.md")
        if not any(
            (part.startswith(".") and part != ".github") or part == "gen"
            for part in path.relative_to(root).parts[:-1]
        )
    )


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Yields the lines outside of code blocks with their numbers, from 1."""
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        mark = FENCE.match(line)
        if mark and fence in ("", mark[1]):
            fence = "" if fence else mark[1]
        elif not fence:
            yield number, line


def anchors(text: str) -> set[str]:
    """Returns the anchors of a document's headings, `-1` and so on added to repeated ones."""
    found: set[str] = set()
    counts: dict[str, int] = {}
    for _, line in prose(text):
        heading = HEADING.match(line)
        if heading:
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
            seen = counts.get(name, 0)
            counts[name] = seen + 1
            found.add(f"{name}-{seen}" if seen else name)
    return found


def broken(path: Path) -> Iterator[str]:
    """Yields the links of a document that do not resolve, each with its line."""
    for number, line in prose(path.read_text(encoding="utf-8")):
        for target in LINK.findall(re.sub(r"`[^`]*`", "``", line)):
            if ELSEWHERE.match(target):
                continue
            name, _, anchor = target.partition("#")
            place = path.parent / name if name else path
            if not place.exists():
                yield f"{path}:{number}: {target}: no such file"
            elif anchor and anchor not in anchors(place.read_text(encoding="utf-8")):
                yield f"{path}:{number}: {target}: no such heading"


def stale(root: Path, path: Path) -> Iterator[str]:
    """Yields the files and folders of the project that a document names and that do not exist.

    Only paths that begin with a folder of the root are looked at; others are of somewhere else.
    """
    for number, line in prose(path.read_text(encoding="utf-8")):
        for name in NAMED.findall(line):
            if (root / name.split("/")[0]).is_dir() and not (root / name).exists():
                yield f"{path}:{number}: {name}: no such file"


def too_long(path: Path, words: int) -> Iterator[str]:
    """Yields a complaint when a document has more words than it may, code and tables included."""
    count = len(path.read_text(encoding="utf-8").split())
    if count > words:
        yield f"{path}: {count} words, {words} at most: move what is too much to a page of docs/"


def main() -> None:
    """Prints broken links, stale names and what the README has too much; exits 1 for any."""
    pages = documents(ROOT)
    found = [problem for path in pages for problem in broken(path)]
    found += [one for path in pages if path.name not in HISTORY for one in stale(ROOT, path)]
    found += too_long(ROOT / "README.md", README_WORDS)
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
