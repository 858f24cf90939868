"""The tables of a study's description, each checked by itself."""

import ast
import difflib
import math
import re
from datetime import date, time
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    model_validator,
)

from cmapjax.arguments._checks import short
from cmapjax.metrics import RECORDED
from cmapjax.studies._schema import ENDS, FIELDS, TAKEN, TERMS
from cmapjax.words import _grammar
from cmapjax.words._sources import Sources
from cmapjax.words._texts import words_of

LONGEST_NAME = 40
LONGEST_TEXT = 500


def _axis_name(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or len(name) > LONGEST_NAME:
        raise ValueError(
            f"call an axis by a-z, 0-9 and _, beginning with a letter, at most {LONGEST_NAME} characters."
        )
    if (name in TAKEN or name in RECORDED) and name not in FIELDS:
        raise ValueError("this is the name of a column of the results; call the axis something else.")
    return name


def as_words(value: Any) -> Any:
    """An object as the words that name it; what a file can hold as it is."""
    if value is None or isinstance(value, (bool, int, float, str, list, dict, date, time)):
        return value
    return words_of(value)


def _point(value: Any) -> int | float | str:
    value = as_words(value)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("give a whole number, a decimal number or a text in quotes.")
    if not isinstance(value, str) and not (math.isfinite(value) and abs(value) < 2**63):
        raise ValueError("give a finite number, below 2^63.")
    if isinstance(value, str) and (len(value) > LONGEST_TEXT or not value.strip() or not value.isprintable()):
        raise ValueError(f"give a text of 1 to {LONGEST_TEXT} printable characters.")
    return value


def _different(values: list) -> list:
    seen = set()
    for value in values:
        text = str(value).strip()
        if text in seen or (not isinstance(value, str) and value in seen):
            raise ValueError(f"{short(value)} is listed twice; list it once.")
        seen |= {text, value}
    return values


AxisName = Annotated[str, AfterValidator(_axis_name)]
Point = Annotated[Any, PlainValidator(_point)]
Points = Annotated[list[Point], Field(min_length=1)]
DifferentPoints = Annotated[Points, AfterValidator(_different)]
Text = Annotated[str, BeforeValidator(as_words), Field(min_length=1, max_length=LONGEST_TEXT)]
Width = Annotated[float, Field(gt=0, lt=1)]


class Table(BaseModel):
    """A table of a study: strict types, no unknown keys, no NaN, not to be changed."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, validate_default=False
    )

    @classmethod
    def known_keys(cls) -> list[str]:
        """The keys that this table may have in a file."""
        return [field.alias or name for name, field in cls.model_fields.items()]


class Words(Table):
    """What a cell is, in the words of the command line; `{x}` stands for the value of axis x."""

    network: Text | None = None
    """A family, a named network, or file:PATH (also file:PATH,agents=TABLE)."""
    endowment: Text | None = None
    """A distribution of mean endowments, or own: what a file says. By default unit for families, else own."""
    value: Text | None = None
    isolated: Text = "reject"
    process: Text = "constant"
    priority: Text | None = None
    """A rule or a distribution of priorities (value), none, or own; likewise the other fields of agents and
    links. By default none for families, else own."""
    demand: Text | None = None
    own_use: Text | None = None
    capacity: Text | None = None
    efficiency: Text | None = None
    directed: Text | None = None
    """Whether links of a family go one way."""
    strategy: Text = "cmap"
    schedule: Text = "simultaneous"
    damping: Text = "none"


def _numbers_as_text(data: Any) -> Any:
    """A number (or true and false) is as good as its text where words are wanted."""
    if not isinstance(data, dict):
        return data
    given = {name: data.get(name) for name in ("damping", *TERMS)}
    texts = {name: str(x) for name, x in given.items() if type(x) in (int, float) and name != "directed"}
    if isinstance(given["directed"], bool):
        texts["directed"] = str(given["directed"]).lower()
    return data | texts


def _known_metrics(names: str | list) -> str | list:
    if names == "standard":
        return names
    if not isinstance(names, list) or not names:
        raise ValueError('give "standard" or a list of names of metrics.')
    names = [as_words(name) for name in names]
    for number, name in enumerate(names):
        if not isinstance(name, str) or (name not in RECORDED and metric_words(name) is None):
            near = difflib.get_close_matches(str(name), RECORDED, 1)
            guess = f" (did you mean {near[0]}?)" if near else ""
            raise ValueError(
                f"{short(name)} is not a metric{guess}; give names from: standard (alone), "
                f"{', '.join(RECORDED)}; one of your own is FILE.py:function or MODULE:function."
            )
        if name in names[:number]:
            raise ValueError(f"{name} is listed twice; list it once.")
    return names


def metric_words(text: str) -> _grammar.Words | None:
    """The words of a metric of one's own; None for any other text."""
    words = _grammar.file_words(text) or _grammar.module_words(text)
    return words if words and words.name and not words.parts else None


def own_metrics(names: str | list, sources: Sources) -> dict[str, _grammar.Words | None]:
    """What is recorded by name: the words of one's own functions, None for the package's metrics.

    Args:
        names: `record.metrics`.
        sources: where functions are looked for, which are not called.

    Raises:
        ValueError: a file without this function, or a name that another column has.
    """
    found: dict[str, _grammar.Words | None] = {}
    for number, text in enumerate([] if names == "standard" else names):
        words, place = metric_words(text), f"record.metrics[{number}] is {short(text)}"
        name = text if words is None else words.name
        if words is not None:
            try:
                sources.check(words.place, name, (ast.FunctionDef,))
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from None
            if name in TAKEN or name in RECORDED or name in found:
                raise ValueError(f"{place}: another column has this name; call the function otherwise.")
        found[name] = words
    return found


class Record(Table):
    """What is kept of a run."""

    metrics: Annotated[Any, PlainValidator(_known_metrics)] = "standard"
    curves: Literal["none", "quantiles", "full"] = "quantiles"
    every: int | None = Field(None, ge=1, lt=2**31)
    """Rounds between two records; by default records are after 1, 2, 3, 5, 8, 13, … rounds."""


class Range(Table):
    """An interval that an axis is sampled from."""

    range: list[float] = Field(min_length=2, max_length=2)
    log: bool = False
    """Whether the logarithm is what is spread evenly."""
    whole: bool = False
    """Whether to round to whole numbers."""

    @model_validator(mode="after")
    def _is_interval(self):
        low, high = self.range
        if not low < high:
            raise ValueError("give two numbers [low, high] with low below high.")
        if self.log and low <= 0:
            raise ValueError("low must be above 0 on a logarithmic scale; raise it, or leave out log.")
        if self.whole and (low != int(low) or high != int(high)):
            raise ValueError("give whole ends for whole numbers.")
        return self


def _as_range(given: Any) -> Any:
    return {"range": given} if isinstance(given, list) else given


class Sample(Table):
    """Points of continuous axes, one factor of the product: method, number, and a range for every axis."""

    method: Literal["sobol", "latin-hypercube"] = "sobol"
    number: int = Field(ge=1, le=1_000_000)
    ranges: dict[AxisName, Annotated[Range, BeforeValidator(_as_range)]] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: Any) -> Any:
        """Every key that is not method or number is an axis."""
        if not isinstance(data, dict) or "ranges" in data:
            return data
        own = {key: data[key] for key in ("method", "number") if key in data}
        return own | {"ranges": {key: value for key, value in data.items() if key not in own}}

    def document(self) -> dict:
        """As written in a file."""
        ranges = {name: one.model_dump() for name, one in self.ranges.items()}
        return {"method": self.method, "number": self.number} | ranges


def _bounded_metric(name: Any) -> str:
    if name not in RECORDED or not RECORDED[name].bounds:
        bounded = ", ".join(name for name, metric in RECORDED.items() if metric.bounds)
        raise ValueError(
            "no interval of its mean can be trusted: a metric without bounds may be moved by any amount by a "
            f"few markets never seen; take one of the package that lies in [0, 1]: {bounded}."
        )
    return name


class Interval(Table):
    """Markets are drawn until the mean of a metric is known this well in every cell of the ground."""

    metric: Annotated[Any, PlainValidator(_bounded_metric)]
    width: Width
    """Of the 95 % interval of the mean over markets, from end to end (`_interval.py`)."""
    least: int = Field(100, ge=2, lt=2**31)
    """Markets drawn at a time; after every so many it is decided whether more are."""


def _verdict_for_good(name: Any) -> str:
    if name not in ENDS:
        raise ValueError(
            f"give {', '.join(ENDS[:-1])} or {ENDS[-1]}: further rounds may change any other verdict, which "
            "so is no reason to stop; the column verdict of the results finds such markets."
        )
    return name


class Stop(Table):
    """When a market, or the drawing of further ones, may end before its time."""

    when: list[Annotated[Any, PlainValidator(_verdict_for_good)]] = Field([])
    interval: Interval | None = None


CellWords = Annotated[Words, BeforeValidator(_numbers_as_text)]
TABLES: dict[str, type[Table]] = {
    "cells": Words,
    "record": Record,
    "range": Range,
    "sample": Sample,
    "interval": Interval,
    "stop": Stop,
}
"""Tables by the key that holds them, for complaints about unknown keys."""
