"""A study's description as a TOML file, for studies that were made from Python and have none."""

import json
import re


def as_toml(document: dict) -> str:
    """One line per key; what is None is left out, since TOML has no word for it."""
    lines = [f"{_key(name)} = {_value(value)}" for name, value in document.items() if value is not None]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _text(text: str) -> str:
    """A basic string: TOML escapes as JSON does, but for the delete character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        inside = [f"{_key(name)} = {_value(item)}" for name, item in value.items() if item is not None]
        return f"{{ {', '.join(inside)} }}" if inside else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(item) for item in value)}]"
    return repr(value)
