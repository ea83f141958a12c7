"""The glossary's words: what the check finds, and what it lets pass."""

from pathlib import Path

import pytest

from tools.words import banned, docstrings

VOCABULARY = banned.Vocabulary(
    anywhere={"anew": "again", "login places": "known networks", "lanes": "KeyedBatcher"},
    names={"look": "query", "Reach": "AccessScope"},
    kept=("OpenLoginPlaces",),
    skipped=("old/*",),
    exceptions={"kept/*.py": ("anew",)},
)


def found(root: Path, name: str, text: str) -> list[str]:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return list(banned.check(root, [name], VOCABULARY))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# It begins anew.\n", "1: 'anew' was given up: again"),
        ("\nclass LoginPlaces: ...\n", "2: 'login places' was given up: known networks"),
        ("login_places = 1\n", "1: 'login places' was given up: known networks"),
        ("\n\nsorted_lanes = 1\n", "3: 'lanes' was given up: KeyedBatcher"),
        ("# What the login\n# places say.\n", "1: 'login places' was given up: known networks"),
        ("def f():\n    def look(): ...\n", "2: 'look' was given up: query"),
        ("async def _look(): ...\n", "1: 'look' was given up: query"),
        ("class Reach: ...\n", "1: 'Reach' was given up: AccessScope"),
    ],
)
def test_a_banned_word_in_code_is_named_with_its_line(tmp_path: Path, text: str, line: str) -> None:
    assert found(tmp_path, "mesh/some.py", text) == [f"mesh/some.py:{line}"]


@pytest.mark.parametrize("name", ["docs/some.md", "protos/some.proto", "some.toml"])
def test_documents_contracts_and_settings_are_read_too(tmp_path: Path, name: str) -> None:
    assert found(tmp_path, name, "begins anew") == [f"{name}:1: 'anew' was given up: again"]


@pytest.mark.parametrize(
    "text",
    [
        "planes = reached = 1\n",
        "# Look at it: what is within reach.\n",
        "look()\nlook = 1\ndef f(look): ...\n",
        "stub.OpenLoginPlaces()\n",
    ],
)
def test_other_words_and_names_that_others_define_pass(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, "mesh/some.py", text) == []


def test_skipped_files_and_exceptions_pass(tmp_path: Path) -> None:
    assert found(tmp_path, "old/some.py", "lanes = 1\n") == []
    assert found(tmp_path, "kept/some.py", "anew = 1\n") == []
    assert found(tmp_path, "kept/some.py", "lanes = 1\n") == [
        "kept/some.py:1: 'lanes' was given up: KeyedBatcher"
    ]


def test_an_exception_for_a_word_that_is_not_banned_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "banned.toml"
    path.write_text(
        'skipped = []\nkept = []\n[anywhere]\n"anew" = "again"\n[names]\n'
        '[[exception]]\nfiles = "*.py"\nwords = ["new"]\n'
    )
    with pytest.raises(ValueError, match="'new'"):
        banned.Vocabulary.load(path)


def test_the_projects_own_vocabulary_loads() -> None:
    assert len(banned.Vocabulary.load().anywhere) > 20
    assert "Returns" in docstrings.load_verbs()


def verbless(root: Path, text: str, name: str = "mesh/some.py") -> list[str]:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return [line.partition(" (")[0] for line in docstrings.check(root, [name])]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('def f():\n    """The answer."""\n', "1: f begins with The"),
        ('async def f():\n    """What it is."""\n', "1: f begins with What"),
        ('class C:\n    """A thing."""\n', "1: C begins with A"),
        ('class C:\n    def m(self):\n        """Now."""\n', "2: m begins with Now"),
        ('def f():\n    """Show it."""\n', "1: f begins with Show"),
    ],
)
def test_a_docstring_without_a_verb_is_named(tmp_path: Path, text: str, line: str) -> None:
    assert verbless(tmp_path, text) == [f"mesh/some.py:{line}, not with a verb"]


@pytest.mark.parametrize(
    "text",
    [
        'def f():\n    """Returns the answer."""\n',
        'def _f():\n    """The answer."""\n',
        'class C:\n    @property\n    def m(self):\n        """The answer."""\n',
        "def f(): ...\n",
        '"""The module."""\n',
    ],
)
def test_verbs_private_things_and_properties_pass(tmp_path: Path, text: str) -> None:
    assert verbless(tmp_path, text) == []


@pytest.mark.parametrize("name", ["ops/cli/up.py", "ocr_svc/cli.py"])
def test_commands_may_be_orders(tmp_path: Path, name: str) -> None:
    assert verbless(tmp_path, 'def f():\n    """Show it."""\n', name) == []
    assert verbless(tmp_path, 'def f():\n    """Try it."""\n', name) == []
    assert len(verbless(tmp_path, 'def f():\n    """The answer."""\n', name)) == 1


def test_tests_say_what_they_like(tmp_path: Path) -> None:
    assert verbless(tmp_path, 'def f():\n    """The answer."""\n', "tests/some.py") == []
