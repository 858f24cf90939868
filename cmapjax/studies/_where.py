"""Constraints between axes: comparisons and arithmetic, read by `ast` and worked out here."""

import ast
import itertools
import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cmapjax.arguments._checks import listed, short

LONGEST = 500  # characters: nobody writes longer constraints, and so none nests deeply
ALLOWED = "numbers, texts in quotes, names of axes, + - * / % ( ), comparisons, and, or, not"
OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
NUMBERS, TEXTS, MIXED = "numbers", "texts", "numbers and texts"
_NUMBER = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")


class Constraint:
    """A condition on the axes of a cell, such as `degree < agents and (spread > 0.5 or damping != 'none')`.

    A text is never compared with a number. An axis may have both: there a text that reads as a number is that
    number, and an order of texts and numbers has no value.

    Args:
        text: the condition.
        axes: the values of every axis.

    Raises:
        ValueError: anything but comparisons of numbers, texts and axes, joined by and, or, not; a text
            compared with a number.
    """

    def __init__(self, text: str, axes: Mapping[str, Sequence]):
        self.text = text.strip()
        self._kinds = {name: _kind(values) for name, values in axes.items()}
        self._axes = axes
        if len(text) > LONGEST:
            raise ValueError(f"{short(text)} has {len(text)} characters; write at most {LONGEST}.")
        try:
            tree = ast.parse(self.text, mode="eval")
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            reason = getattr(error, "msg", None) or "cannot be read"
            raise ValueError(
                f"{short(text)}: {reason}; write a comparison such as degree < agents."
            ) from None
        for node in reversed(list(ast.walk(tree.body))):  # parts before what they are part of
            self._check(node)
        if not _is_statement(tree.body):
            raise ValueError(f"{short(text)} is no comparison; write one such as degree < agents.")
        self._root = tree.body

    def _check(self, node: ast.AST) -> None:
        """Raise ValueError unless this part is on the list, and of one kind."""
        match node:
            case ast.Constant(value=value) if type(value) in (int, float, str):
                pass
            case ast.Name(id=name) if name not in self._kinds:
                known = ", ".join(self._kinds) or "none"
                raise ValueError(f"{short(self.text)}: {short(name)} is not an axis; the axes are {known}.")
            case ast.BoolOp(values=parts) | ast.UnaryOp(op=ast.Not(), operand=ast.AST() as parts):
                if not all(map(_is_statement, parts if isinstance(parts, list) else [parts])):
                    raise self._refused(node)
            case ast.BinOp() | ast.UnaryOp():
                for part in ast.iter_child_nodes(node):
                    if isinstance(part, ast.expr) and self._kind(part) != NUMBERS:
                        raise ValueError(
                            f"{short(self.text)}: there is no arithmetic with {self._named(part)}; compare "
                            "it."
                        )
            case ast.Compare(left=left, comparators=others):
                for one, other in zip([left, *others], others, strict=False):
                    self._check_alike(one, other)
            case ast.Name() | ast.Load():
                pass
            case _ if type(node) not in (*OPERATORS, ast.And, ast.Or):
                raise self._refused(node)

    def _check_alike(self, one: ast.AST, other: ast.AST) -> None:
        """Raise ValueError where a text meets a number."""
        kinds = {self._kind(one): one, self._kind(other): other}
        text, number = kinds.get(TEXTS), kinds.get(NUMBERS, kinds.get(MIXED))
        if text is None or number is None:
            return
        reads_as_number = isinstance(text, ast.Constant) and _NUMBER.fullmatch(text.value)
        remedy = "compare numbers with numbers and texts with texts"
        if reads_as_number:
            remedy = f"write {text.value.strip()} without quotes"
        elif MIXED in kinds:
            return
        elif isinstance(text, ast.Constant):
            remedy = "give a number instead"
        elif isinstance(number, ast.Constant):
            remedy = f"write '{number.value}' in quotes, or give the axis numbers"
        raise ValueError(
            f"{short(self.text)}: {self._named(text)} and {self._named(number)} cannot be compared; {remedy}."
        )

    def _kind(self, node: ast.AST) -> str:
        if isinstance(node, ast.Name):
            return self._kinds[node.id]
        return TEXTS if isinstance(node, ast.Constant) and isinstance(node.value, str) else NUMBERS

    def _named(self, node: ast.AST) -> str:
        """A part of the condition, and what it is."""
        kind, part = self._kind(node), self._source(node)
        if isinstance(node, ast.Name):
            return f"axis {part}, which has {kind} ({listed(self._axes[part], 3)}),"
        return f"the {'text' if kind == TEXTS else 'number'} {part}"

    def _source(self, node: ast.AST) -> str:
        return ast.get_source_segment(self.text, node) or type(node).__name__

    def _refused(self, node: ast.AST) -> ValueError:
        return ValueError(
            f"{short(self.text)}: {short(self._source(node))} is not allowed here; use {ALLOWED}."
        )

    def holds(self, axes: Mapping[str, Any]) -> bool:
        """Whether a cell with these values meets the condition. Raises ValueError where it has no value."""
        values = {
            name: float(value) if self._kinds[name] == MIXED and _reads_as_number(value) else value
            for name, value in axes.items()
        }
        try:
            return bool(_value(self._root, values))
        except (TypeError, ZeroDivisionError, OverflowError) as error:
            given = ", ".join(f"{name} = {short(value)}" for name, value in axes.items())
            raise ValueError(f"{short(self.text)} has no value for {given}: {error}.") from None


def _kind(values: Sequence) -> str:
    kinds = {TEXTS if isinstance(value, str) else NUMBERS for value in values}
    return kinds.pop() if len(kinds) == 1 else MIXED


def _reads_as_number(value: Any) -> bool:
    return isinstance(value, str) and _NUMBER.fullmatch(value) is not None


def _is_statement(node: ast.AST) -> bool:
    is_negation = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    return is_negation or isinstance(node, (ast.Compare, ast.BoolOp))


def _value(node: ast.AST, axes: Mapping[str, Any]):
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return axes[name]
        case ast.UnaryOp(op=op, operand=operand):
            return OPERATORS[type(op)](_value(operand, axes))
        case ast.BinOp(op=op, left=left, right=right):
            return OPERATORS[type(op)](_value(left, axes), _value(right, axes))
        case ast.BoolOp(op=op, values=parts):
            return (all if isinstance(op, ast.And) else any)(_value(part, axes) for part in parts)
        case ast.Compare(left=left, ops=ops, comparators=others):
            sides = itertools.pairwise([left, *others])
            return all(
                OPERATORS[type(op)](_value(one, axes), _value(other, axes))
                for op, (one, other) in zip(ops, sides, strict=True)
            )
    raise AssertionError(f"{type(node).__name__} passed the check")
