"""A linter for the contracts: the rules that buf does not know, because they are ours.

`python -m tools.contract_lint` checks the compiled contracts and prints a line for each finding:
its place, the rule and what is wrong. A rule is a function in methods.py, access.py, routes.py,
audit.py or fields.py whose docstring says why it exists; its exceptions stand with their reasons in
exceptions.py.
"""

from tools.contract_lint import access, audit, fields, methods, routes  # noqa: F401 # they register
from tools.contract_lint.contracts import Contracts, read
from tools.contract_lint.rules import RULES, Finding

__all__ = ["RULES", "Contracts", "Finding", "lint", "read"]


def lint(contracts: Contracts) -> list[Finding]:
    """Returns what all rules find, in the order of the places."""
    return sorted(finding for rule in RULES.values() for finding in rule.findings(contracts))
