"""Finds words that the glossary gave up."""

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

SUFFIXES = (".py", ".pyi", ".md", ".proto", ".toml", ".yml", ".yaml")
WORDS = Path(__file__).with_name("banned.toml")
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Holds what `banned.toml` says.

    Attributes:
        anywhere: A word or phrase in small letters, as it stands in names, comments and documents,
            and what is written instead.
        names: The same for whole names of functions and classes.
        kept: Patterns of names of contracts and tables, which keep their words.
        skipped: Patterns of files that no rule is for.
        exceptions: Patterns of files, and the words that they may say.
    """

    anywhere: dict[str, str]
    names: dict[str, str]
    kept: tuple[str, ...]
    skipped: tuple[str, ...]
    exceptions: dict[str, tuple[str, ...]]

    @classmethod
    def load(cls, path: Path = WORDS) -> "Vocabulary":
        """Reads the vocabulary.

        Raises:
            ValueError: An exception names a word that is not banned.
        """
        said = tomllib.loads(path.read_text())
        exceptions = {one["files"]: tuple(one["words"]) for one in said.get("exception", [])}
        unknown = {word for words in exceptions.values() for word in words} - (
            said["anywhere"].keys() | said["names"].keys()
        )
        if unknown:
            raise ValueError(f"exceptions for words that are not banned: {sorted(unknown)}")
        return cls(
            said["anywhere"],
            said["names"],
            tuple(said["kept"]),
            tuple(said["skipped"]),
            exceptions,
        )

    def allows(self, file: str, word: str) -> bool:
        """Tells whether a file may say a word."""
        return any(
            fnmatch(file, pattern) and word in words for pattern, words in self.exceptions.items()
        )


def spoken(text: str) -> str:
    """Returns a text as words in small letters: names of programs are taken apart.

    Lines stay lines, so that a place in the result has the line number that it has in the source.
    """
    return CAMEL.sub(" ", text).replace("_", " ").replace("-", " ").lower()


def said(text: str, words: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yields each word or phrase that a text contains, with its line from 1.

    A phrase may go over the end of a line.
    """
    text = spoken(text)
    for word in words:
        pattern = r"[\s#*]+".join(map(re.escape, word.split()))
        for found in re.finditer(rf"\b{pattern}\b", text):
            yield text.count("\n", 0, found.start()) + 1, word


def defined(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yields the functions and classes that a module defines, inner ones too, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name


def check(root: Path, files: Iterable[str], vocabulary: Vocabulary | None = None) -> Iterator[str]:
    """Yields a line for each banned word in the files, given as paths from `root`."""
    vocabulary = vocabulary or Vocabulary.load()
    for file in files:
        if not file.endswith(SUFFIXES) or any(fnmatch(file, one) for one in vocabulary.skipped):
            continue
        text = (root / file).read_text()
        prose = re.sub("|".join(vocabulary.kept) or "(?!)", "", text)
        found = [
            (line, word, vocabulary.anywhere[word])
            for line, word in said(prose, vocabulary.anywhere)
        ]
        if file.endswith(".py"):
            found += [
                (line, name.strip("_"), vocabulary.names[name.strip("_")])
                for line, name in defined(ast.parse(text))
                if name.strip("_") in vocabulary.names
            ]
        for line, word, instead in sorted(found):
            if not vocabulary.allows(file, word):
                yield f"{file}:{line}: '{word}' was given up: {instead}"
