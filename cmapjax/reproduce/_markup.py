"""HTML from parts: whatever is not made here is escaped, so that a name can only ever be text."""

import base64
import hashlib
import html
import json


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


_VOID = ("meta", "link", "br", "img")


def tag(name: str, /, *inside, **attributes) -> Markup:
    """An element. Strings inside are escaped unless they are Markup; lists are flattened, None left out.

    `class_` is the attribute class, `data_value` data-value; True is an attribute without a value, None and
    False none.
    """
    parts = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(key)
        elif value is not None and value is not False:
            parts.append(f'{key}="{html.escape(str(value), quote=True)}"')
    start = f"<{' '.join(parts)}>"
    return Markup(start if name in _VOID else f"{start}{joined(inside)}</{name}>")


def page_head(title: str, policy: str, style: str) -> Markup:
    """The head of a page that may load what the policy lets it, and with it nothing."""
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        tag("style", Markup(style)),
    )


def joined(parts) -> Markup:
    """Several pieces one after the other."""
    pieces = []
    for part in parts:
        if part is None:
            continue
        if isinstance(part, (list, tuple)):
            pieces.append(joined(part))
        else:
            pieces.append(part if isinstance(part, Markup) else html.escape(str(part), quote=True))
    return Markup("".join(pieces))


def data_script(name: str, data) -> Markup:
    """Data as JSON in a script element that is not run. No text in it can end it, or open a comment."""
    text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # Half a character pair has no UTF-8; a file name may bring one.
    text = text.encode("utf-8", "replace").decode()
    return Markup(f'<script type="application/json" id="{name}">{text}</script>')


def script(code: str) -> tuple[Markup, str]:
    """A script element, and the hash by which the page's policy allows it."""
    code = code.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return Markup(f"<script>{code}</script>"), f"'sha256-{digest}'"
