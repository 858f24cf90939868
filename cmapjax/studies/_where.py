"""Constraints between axes: comparisons and arithmetic, read by `ast` and worked out here."""

import ast
import operator
from collections.abc import Collection, Mapping
from typing import Any

from cmapjax._checks import short

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


class Constraint:
    """A condition on the axes of a cell, such as `degree < agents and (spread > 0.5 or damping != 'none')`.

    Raises:
        ValueError: anything but comparisons of numbers, texts and axes, joined by and, or, not.
    """

    def __init__(self, text: str, axes: Collection[str]):
        self.text = text
        if len(text) > LONGEST:
            raise ValueError(f"{short(text)} has {len(text)} characters; write at most {LONGEST}.")
        try:
            self._root = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            reason = getattr(error, "msg", None) or "cannot be read"
            raise ValueError(
                f"{short(text)}: {reason}; write a comparison such as degree < agents."
            ) from None
        self._check(self._root, axes)
        if not _is_statement(self._root):
            raise ValueError(f"{short(text)} is no comparison; write one such as degree < agents.")

    def _check(self, node: ast.AST, axes: Collection[str]) -> None:
        """Raise ValueError unless all in this tree is on the list."""
        match node:
            case ast.Constant(value=value):
                if isinstance(value, bool) or not isinstance(value, (int, float, str)):
                    raise self._refuse(node)
                return
            case ast.Name(id=name):
                if name not in axes:
                    known = ", ".join(axes) or "none"
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
            self._check(part, axes)

    def _refuse(self, node: ast.AST) -> ValueError:
        part = ast.get_source_segment(self.text.strip(), node) or type(node).__name__
        return ValueError(f"{short(self.text)}: {short(part)} is not allowed here; use {ALLOWED}.")

    def holds(self, axes: Mapping[str, Any]) -> bool:
        """Whether a cell with these values meets the condition. Raises ValueError where it has no value."""
        try:
            return bool(_value(self._root, axes))
        except (TypeError, ZeroDivisionError, OverflowError) as error:
            raise ValueError(f"{short(self.text)} has no value for {_listed(axes)}: {error}.") from None


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
                if not COMPARISONS[type(op)](left, right):
                    return False
                left = right
            return True
    raise AssertionError(f"{type(node).__name__} passed the check")


def _number(node: ast.AST, axes: Mapping[str, Any]) -> int | float:
    """What arithmetic is done with: text is not repeated, joined or formatted here."""
    value = _value(node, axes)
    if isinstance(value, str):
        raise TypeError(f"there is no arithmetic with the text {short(value)}")
    return value
