"""Constraints between axes: comparisons and arithmetic, read by `ast` and worked out here."""

import ast
import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cmapjax.arguments._checks import listed, short

LONGEST = 500  # characters: nobody writes longer constraints, and so none nests deeply
ALLOWED = "numbers, texts in quotes, names of axes, + - * / % ( ), comparisons, and, or, not"
ARITHMETIC = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}
COMPARISONS = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
SIGNS = {ast.USub: operator.neg, ast.UAdd: operator.pos}
STATEMENTS = (ast.Compare, ast.BoolOp)
NUMBERS, TEXTS, MIXED = "numbers", "texts", "numbers and texts"
_NUMBER = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")


class Constraint:
    """A condition on the axes of a cell, such as `degree < agents and (spread > 0.5 or damping != 'none')`.

    A text is never compared with a number. An axis that has both is: there `==` and `!=` take a text that
    reads as a number for that number, and an order of the two has no value.

    Args:
        text: the condition.
        axes: the values of every axis.

    Raises:
        ValueError: anything but comparisons of numbers, texts and axes, joined by and, or, not; a text
            compared with a number.
    """

    def __init__(self, text: str, axes: Mapping[str, Sequence]):
        self.text = text
        self._axes = axes
        if len(text) > LONGEST:
            raise ValueError(f"{short(text)} has {len(text)} characters; write at most {LONGEST}.")
        try:
            self._root = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            reason = getattr(error, "msg", None) or "cannot be read"
            raise ValueError(
                f"{short(text)}: {reason}; write a comparison such as degree < agents."
            ) from None
        self._check(self._root)
        if not _is_statement(self._root):
            raise ValueError(f"{short(text)} is no comparison; write one such as degree < agents.")
        self._check_kinds(self._root)

    def _check(self, node: ast.AST) -> None:
        """Raise ValueError unless all in this tree is on the list."""
        match node:
            case ast.Constant(value=value):
                if isinstance(value, bool) or not isinstance(value, (int, float, str)):
                    raise self._refuse(node)
                return
            case ast.Name(id=name):
                if name not in self._axes:
                    known = ", ".join(self._axes) or "none"
                    raise ValueError(
                        f"{short(self.text)}: {short(name)} is not an axis; the axes are {known}."
                    )
                return
            case ast.BinOp(op=op) if type(op) in ARITHMETIC:
                parts = [node.left, node.right]
            case ast.UnaryOp(op=op) if type(op) in SIGNS or isinstance(op, ast.Not):
                parts = [node.operand]
            case ast.Compare(ops=ops) if all(type(op) in COMPARISONS for op in ops):
                parts = [node.left, *node.comparators]
            case ast.BoolOp():
                parts = node.values
                if not all(map(_is_statement, parts)):
                    raise self._refuse(node)
            case _:
                raise self._refuse(node)
        for part in parts:
            self._check(part)

    def _check_kinds(self, node: ast.AST) -> str:
        """What a part of the condition is. Raises ValueError where a text meets a number."""
        match node:
            case ast.Constant(value=value):
                return _kind([value])
            case ast.Name(id=name):
                return _kind(self._axes[name])
            case ast.Compare(left=left, comparators=comparators):
                sides = [left, *comparators]
                kinds = [self._check_kinds(side) for side in sides]
                for k in range(len(comparators)):
                    if {kinds[k], kinds[k + 1]} == {NUMBERS, TEXTS}:
                        raise self._unlike(*sides[k : k + 2])
                return NUMBERS
        for part in ast.iter_child_nodes(node):
            is_text = isinstance(part, ast.expr) and self._check_kinds(part) == TEXTS
            if is_text and not isinstance(node, ast.BoolOp):
                raise ValueError(
                    f"{short(self.text)}: there is no arithmetic with {self._named(part)}; compare it."
                )
        return NUMBERS

    def _unlike(self, one: ast.AST, other: ast.AST) -> ValueError:
        text, number = (one, other) if self._check_kinds(one) == TEXTS else (other, one)
        remedy = "compare numbers with numbers and texts with texts"
        if isinstance(text, ast.Constant):
            is_number = _NUMBER.fullmatch(text.value)
            remedy = f"write {text.value.strip()} without quotes" if is_number else "give a number instead"
        elif isinstance(number, ast.Constant):
            remedy = f"write '{number.value}' in quotes, or give the axis numbers"
        return ValueError(
            f"{short(self.text)}: {self._named(text)} and {self._named(number)} cannot be compared; {remedy}."
        )

    def _named(self, node: ast.AST) -> str:
        """A part of the condition, and what it is."""
        part = ast.get_source_segment(self.text.strip(), node) or type(node).__name__
        kind = self._check_kinds(node)
        if isinstance(node, ast.Name):
            return f"axis {part}, which has {kind} ({listed(self._axes[part], 3)}),"
        return f"the {'text' if kind == TEXTS else 'number'} {part}"

    def _refuse(self, node: ast.AST) -> ValueError:
        part = ast.get_source_segment(self.text.strip(), node) or type(node).__name__
        return ValueError(f"{short(self.text)}: {short(part)} is not allowed here; use {ALLOWED}.")

    def holds(self, axes: Mapping[str, Any]) -> bool:
        """Whether a cell with these values meets the condition. Raises ValueError where it has no value."""
        try:
            return bool(_value(self._root, axes))
        except (TypeError, ZeroDivisionError, OverflowError) as error:
            raise ValueError(f"{short(self.text)} has no value for {_listed(axes)}: {error}.") from None


def _kind(values: Sequence) -> str:
    kinds = {TEXTS if isinstance(value, str) else NUMBERS for value in values}
    return kinds.pop() if len(kinds) == 1 else MIXED


def _listed(axes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {short(value)}" for name, value in axes.items())


def _is_statement(node: ast.AST) -> bool:
    return isinstance(node, STATEMENTS) or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not))


def _value(node: ast.AST, axes: Mapping[str, Any]):
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return axes[name]
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _value(operand, axes)
        case ast.UnaryOp(op=op, operand=operand):
            return SIGNS[type(op)](_number(operand, axes))
        case ast.BinOp(op=op, left=left, right=right):
            return ARITHMETIC[type(op)](_number(left, axes), _number(right, axes))
        case ast.BoolOp(op=ast.And(), values=values):
            return all(_value(part, axes) for part in values)
        case ast.BoolOp(values=values):
            return any(_value(part, axes) for part in values)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            left = _value(left, axes)
            for op, part in zip(ops, comparators, strict=True):
                right = _value(part, axes)
                if not _compared(op, left, right):
                    return False
                left = right
            return True
    raise AssertionError(f"{type(node).__name__} passed the check")


def _compared(op: ast.cmpop, left, right) -> bool:
    """Of two texts or two numbers; on an axis that has both, of a text and a number."""
    if isinstance(left, str) != isinstance(right, str):
        if not isinstance(op, (ast.Eq, ast.NotEq)):
            raise TypeError(f"{short(left)} and {short(right)} have no order")
        left, right = (
            float(side) if isinstance(side, str) and _NUMBER.fullmatch(side) else side
            for side in (left, right)
        )
    return COMPARISONS[type(op)](left, right)


def _number(node: ast.AST, axes: Mapping[str, Any]) -> int | float:
    """What arithmetic is done with: text is not repeated, joined or formatted here."""
    value = _value(node, axes)
    if isinstance(value, str):
        raise TypeError(f"there is no arithmetic with the text {short(value)}")
    return value
