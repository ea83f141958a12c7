"""The check of links finds those that lead nowhere, and nothing else."""

from pathlib import Path

import pytest

from tools import doc_links

PAGE = """# One *page*

See [two](two.md), [its part](sub/three.md#a-b-2), [here](#one-page), [site](https://a.example/x.md),
`[code](missing.md)` and ![picture](picture.png "title").

```
[in a block](missing.md)
# no heading
```
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "one.md").write_text(PAGE)
    (tmp_path / "two.md").write_text("# Two\n")
    (tmp_path / "sub" / "three.md").write_text("## A `b` 2!\n\n[back](../one.md)\n")
    (tmp_path / "picture.png").write_bytes(b"")
    return tmp_path


def problems(root: Path) -> list[str]:
    found = [problem for path in doc_links.documents(root) for problem in doc_links.broken(path)]
    return [problem.removeprefix(f"{root}/") for problem in found]


def test_links_that_resolve_are_no_problem(root: Path) -> None:
    assert problems(root) == []


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ("[x](three.md)", "two.md:3: three.md: no such file"),
        ("![x](sub/picture.png)", "two.md:3: sub/picture.png: no such file"),
        ("[x](one.md#no-heading)", "two.md:3: one.md#no-heading: no such heading"),
        ("[x](#one-page)", "two.md:3: #one-page: no such heading"),
    ],
)
def test_a_broken_link_is_named_with_its_place(root: Path, link: str, problem: str) -> None:
    (root / "two.md").write_text(f"# Two\n\n{link}\n")
    assert problems(root) == [problem]


def test_repeated_headings_have_numbered_anchors() -> None:
    assert doc_links.anchors("# A\n## [B](x.md)\n# A\n") == {"a", "b", "a-1"}


def test_hidden_and_generated_folders_are_left_out(root: Path) -> None:
    for name in (".venv", "gen", ".github"):
        (root / name).mkdir()
        (root / name / "page.md").write_text("[x](missing.md)")
    assert problems(root) == [".github/page.md:1: missing.md: no such file"]


def test_files_that_a_document_names_exist(root: Path) -> None:
    page = root / "two.md"
    page.write_text(
        "`sub/three.md`, `sub/key`, `sub/gone.py`, `elsewhere/x.py`, `sub/old.py::test_x`,\n"
        "`a sub/b.py`, `sub/`, `sub/old/`\n"
        "```\n`sub/in_a_block.py`\n```\n"
    )
    assert list(doc_links.stale(root, page)) == [
        f"{page}:1: sub/gone.py: no such file",
        f"{page}:1: sub/old.py: no such file",
        f"{page}:2: sub/old/: no such file",
    ]


def test_a_document_that_is_too_long_is_named(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("# One\n\ntwo `three`\n")
    assert list(doc_links.too_long(page, 4)) == []
    (problem,) = doc_links.too_long(page, 3)
    assert problem.startswith(f"{page}: 4 words, 3 at most")


def test_the_readme_of_this_project_is_short() -> None:
    assert list(doc_links.too_long(doc_links.ROOT / "README.md", doc_links.README_WORDS)) == []


def test_the_links_of_this_project_resolve() -> None:
    found = [p for path in doc_links.documents(doc_links.ROOT) for p in doc_links.broken(path)]
    assert found == []


def test_the_files_that_this_project_names_exist() -> None:
    pages = [p for p in doc_links.documents(doc_links.ROOT) if p.name not in doc_links.HISTORY]
    assert [one for page in pages for one in doc_links.stale(doc_links.ROOT, page)] == []
