"""XML as a stream of events, without entities, which could expand to large texts."""

from pathlib import Path
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from cmapjax.graphs._files import CHUNK, complaint, detail


def parse_xml(path: Path, data: bytes, events) -> None:
    """Hand the elements of a file to `events`, a target in the sense of `xml.etree.ElementTree.XMLParser`.

    Args:
        path: the file's name, for errors.
        data: its content.
        events: gets an attribute `line_of`, a function that tells the line being read.

    Raises:
        ValueError: a DOCTYPE or entity; XML that is not well-formed; what `events` raises.
    """
    parser = DefusedXMLParser(target=events, forbid_dtd=True)
    events.line_of = lambda: parser.parser.CurrentLineNumber
    try:
        # As text, which has been checked to be UTF-8: a declaration of another encoding has no effect.
        text = data.decode()
        for start in range(0, len(text), CHUNK):
            parser.feed(text[start : start + CHUNK])
        parser.close()
    except DefusedXmlException:
        raise complaint(
            path, "holds a DOCTYPE or entity, which could make a small file unpack to a huge one; remove it."
        ) from None
    except ParseError as error:
        raise complaint(path, f"is not well-formed XML ({detail(error)}); export it again.") from None
