"""What a rule is, and how a function becomes one.

A rule yields a sentence for each thing that is wrong with what it checks; its decorator says what
that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from mesh.contract.methods import Method
from tools.contract_lint.contracts import SOURCES, Contracts, Route

Subject = TypeVar("Subject")
Check = Callable[[Subject], Iterator[str]]
WholeCheck = Callable[[Contracts], Iterator[tuple[str, str]]]
"""Yields the full name of an element, or the path of a file, and what is wrong there."""
Exceptions = Mapping[str, str]
"""Short names of what need not keep a rule, and why."""

NO_EXCEPTIONS: Exceptions = MappingProxyType({})
EXCEPTIONS_FILE = "tools/contract_lint/exceptions.py"


@dataclass(frozen=True, order=True)
class Finding:
    """Names one place that breaks one rule."""

    file: str
    line: int
    """From 1; 0 where it is not known."""
    rule: str
    text: str
    """What is wrong, after the full name of the element."""

    @property
    def place(self) -> str:
        """Returns the file, with the line where it is known."""
        return f"{self.file}:{self.line}" if self.line else self.file

    def __str__(self) -> str:
        return f"{self.place}: {self.rule}: {self.text}"


@dataclass(frozen=True)
class Rule:
    """Describes a rule that the contracts keep."""

    name: str
    """Name of its function in capitals."""
    reason: str
    """Docstring of its function."""
    check: WholeCheck
    """Checks all contracts."""

    def findings(self, contracts: Contracts) -> Iterator[Finding]:
        """Yields the places that break the rule."""
        for name, wrong in self.check(contracts):
            element = contracts.elements.get(name)
            if element is None:
                yield Finding(name, 0, self.name, wrong)
            else:
                path = f"{SOURCES}/{element.file}"
                yield Finding(path, element.line or 0, self.name, f"{name} {wrong}")


RULES: dict[str, Rule] = {}
"""All rules by name."""


def _register(function: Callable[..., object], check: WholeCheck) -> None:
    name = function.__name__.upper()
    if name in RULES:
        raise ValueError(f"there are two rules {name}")
    RULES[name] = Rule(name, function.__doc__ or "", check)


def whole(check: WholeCheck) -> WholeCheck:
    """Makes a function a rule that checks all contracts at once."""
    _register(check, check)
    return check


def _each(
    subjects: Callable[[Contracts], Iterable[tuple[str, Subject]]],
    exceptions: Exceptions = NO_EXCEPTIONS,
) -> Callable[[Check[Subject]], Check[Subject]]:
    """Makes a function a rule that checks one thing at a time.

    An exception that names nothing, or something that keeps the rule by now, is a finding too: the
    list would otherwise only grow.

    Args:
        subjects: What it checks, by full name.
        exceptions: What need not keep it.
    """

    def decorate(check: Check[Subject]) -> Check[Subject]:
        def check_all(contracts: Contracts) -> Iterator[tuple[str, str]]:
            unused = dict(exceptions)
            for name, subject in subjects(contracts):
                wrong = list(check(subject))
                reason = unused.pop(name.rpartition(".")[2], None)
                if reason is None:
                    yield from ((name, text) for text in wrong)
                elif not wrong:
                    yield name, f"keeps the rule: take it out of {EXCEPTIONS_FILE} ({reason})"
            for short_name in unused:
                yield EXCEPTIONS_FILE, f"there is no {short_name}"

        _register(check, check_all)
        return check

    return decorate


def _methods(contracts: Contracts) -> Iterator[tuple[str, Method]]:
    return ((method.descriptor.full_name, method) for method in contracts.methods)


def _routes(contracts: Contracts) -> Iterator[tuple[str, Route]]:
    return ((route.method.descriptor.full_name, route) for route in contracts.routes)


def _fields(contracts: Contracts) -> Iterator[tuple[str, FieldDescriptor]]:
    return ((field.full_name, field) for field in contracts.fields)


def _request_fields(contracts: Contracts) -> Iterator[tuple[str, FieldDescriptor]]:
    return ((field.full_name, field) for field in contracts.request_fields)


def _enums(contracts: Contracts) -> Iterator[tuple[str, EnumDescriptor]]:
    return ((enum.full_name, enum) for enum in contracts.enums)


def each_method(
    exceptions: Exceptions = NO_EXCEPTIONS,
) -> Callable[[Check[Method]], Check[Method]]:
    """Makes a function a rule of every method but some."""
    return _each(_methods, exceptions)


each_route = _each(_routes)
"""Makes a function a rule of every REST route."""
each_field = _each(_fields)
"""Makes a function a rule of every field of a message."""
each_request_field = _each(_request_fields)
"""Makes a function a rule of every field that callers fill."""
each_enum = _each(_enums)
"""Makes a function a rule of every enum."""
