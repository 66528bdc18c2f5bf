"""Multipart forms (RFC 7578), read in memory and refused at the first part that is wrong.

python-multipart finds the parts. This module says what they mean. A form counts only once its closing boundary has come. A text
is in the charset of its part. If the part names none, the form's counts (its `_charset_`, or that of its Content-Type), and else
UTF-8. Files stay in memory, under the limit of the body, so that no disk is needed.
"""

import io
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from server.errors import InvalidRequest, LimitExceeded, UnsupportedMediaType
from server.http.bodies.content import JSON, MULTIPART, media_type

if TYPE_CHECKING:  # It is not there at run time.
    from python_multipart.multipart import MultipartCallbacks

_FILES = frozenset({"images", "archive", "negatives", "imageData"})
_NAMELESS = frozenset({"imageData"})  # Custom Vision's clients name no file where they are given bytes.
_CHARSET = "_charset_"
# What browsers and mail programs write (WHATWG Encoding). Python knows more: some take a time that grows with the square of the
# text (punycode), some give what is no Unicode (unicode_escape), and every unknown name that it is asked for stays in memory.
_UNICODE = {"utf-8", "utf8", "us-ascii", "ascii", "utf-16", "utf-16le", "utf-16be"}
_ALPHABETS = {"latin-1", "latin1", "macintosh", "cp437", "cp850", "cp852", "cp866", "koi8-r", "koi8-u", "tis-620"}
_EAST_ASIAN = {"shift-jis", "sjis", "cp932", "euc-jp", "iso-2022-jp", "gbk", "gb2312", "gb18030", "big5", "euc-kr", "cp949"}
_NUMBERED = {f"iso-8859-{part}" for part in (*range(1, 12), *range(13, 17))} | {
    f"{name}{page}" for name in ("windows-", "cp") for page in range(1250, 1259)
}
_CHARSETS = _UNICODE | _ALPHABETS | _EAST_ASIAN | _NUMBERED
_MOST_TEXT_BYTES = 1_000_000
_PLAIN = frozenset({b"", b"7bit", b"8bit", b"binary"})


@dataclass(frozen=True, slots=True)
class File:
    """A file of a form, and what it is called there."""

    name: str
    content: io.BytesIO


@dataclass(frozen=True, slots=True)
class _Text:
    raw: bytes
    charset: str | None


class Form:
    """A whole form: its files and texts by field, in the order sent."""

    def __init__(self, files: dict[str, list[File]], texts: dict[str, list[str]]) -> None:
        self._files = files
        self._texts = texts

    def __contains__(self, field: str) -> bool:
        return field in self._files or field in self._texts

    def files(self, field: str) -> list[File]:
        return self._files.get(field, [])

    def texts(self, field: str) -> list[str]:
        return self._texts.get(field, [])

    def text(self, field: str) -> str | None:
        """Returns the text of a field that may be given once.

        Raises:
            InvalidRequest: it is given more than once.
        """
        given = self.texts(field)
        if len(given) > 1:
            raise InvalidRequest(f"{field} is given {len(given)} times; give it once")
        return given[0] if given else None


async def read_form(request: Request, fields: Collection[str], most_files: int, most_texts: int) -> Form:
    """Returns the form in the body.

    Args:
        fields: those it may have; `images`, `archive`, `negatives` and `imageData` are files and the others texts.

    Raises:
        UnsupportedMediaType: the body is no form.
        InvalidRequest: it is malformed, cut, or has another field, a file for a text or a text for a file, or a text that its
            charset does not allow.
        LimitExceeded: there are more files or texts.
    """
    if (said := media_type(request)) != MULTIPART:
        raise UnsupportedMediaType(f"send {MULTIPART} or {JSON}, not {said[:100] or 'a body without Content-Type'}")
    _, parameters = parse_options_header(request.headers["content-type"])
    if not (boundary := parameters.get(b"boundary")):
        raise InvalidRequest("the multipart body is malformed: its Content-Type names no boundary")
    reader = _FormReader(fields, most_files, most_texts)
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        async for chunk in request.stream():
            parser.write(chunk)
    except FormParserError as error:
        raise InvalidRequest("the multipart body is malformed") from error
    return reader.form(parameters.get(b"charset", b"").decode("latin-1"))


class _FormReader:
    """Gathers the parts that python-multipart finds."""

    def __init__(self, fields: Collection[str], most_files: int, most_texts: int) -> None:
        self._fields = fields
        self._most_files, self._most_texts = most_files, most_texts
        self._files: defaultdict[str, list[tuple[bytes, io.BytesIO]]] = defaultdict(list)
        self._texts: defaultdict[str, list[_Text]] = defaultdict(list)
        self._file_count = self._text_count = 0
        self._headers: dict[bytes, bytes] = {}
        self._header, self._value = b"", b""
        self._field = ""
        self._file_name: bytes | None = None
        self._content = io.BytesIO()
        self._closed = False

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }

    def form(self, charset: str) -> Form:
        """Returns all of it, once nothing more comes; `charset` is what its Content-Type declares."""
        if not self._closed:
            raise InvalidRequest("the multipart body ends without its closing boundary; nothing of it was used")
        named = self._texts.pop(_CHARSET, [])
        charset = (named[0].raw.decode("latin-1").strip() if named else charset) or "utf-8"
        files = {
            field: [File(_file_name(name, charset), content) for name, content in parts] for field, parts in self._files.items()
        }
        return Form(files, {field: [_decoded(field, text, charset) for text in texts] for field, texts in self._texts.items()})

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header, self._value = b"", b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        if b"name" not in options:
            raise InvalidRequest("the multipart body is malformed: a part has no name in its Content-Disposition")
        self._field = field = options[b"name"].decode(errors="replace")
        self._file_name = options.get(b"filename", b"" if field in _NAMELESS else None)
        self._content = io.BytesIO()
        if field not in self._fields and field != _CHARSET:
            raise InvalidRequest(f"unknown field {field[:100]!r}; known: {', '.join(sorted(self._fields))}")
        if field in _FILES and self._file_name is None:
            raise InvalidRequest(f"{field} must be files, and one came without a filename; with curl: -F {field}=@FILE")
        if field not in _FILES and self._file_name is not None:
            raise InvalidRequest(f"{field} must be texts, not files")
        # Base64 here is not in use any more (RFC 7578, 4.7); taken for what it stands for, or for the text itself, it would be
        # wrong for one sender or the other.
        if (encoding := self._headers.get(b"content-transfer-encoding", b"").strip().lower()) not in _PLAIN:
            raise InvalidRequest(f"a part with Content-Transfer-Encoding {encoding.decode('latin-1')[:100]} is not taken")
        self._count()

    def _count(self) -> None:
        if self._file_name is not None:
            self._file_count += 1
            if self._file_count > self._most_files:
                raise LimitExceeded("images in this request, at least", self._file_count, self._most_files)
        else:
            self._text_count += 1
            if self._text_count > self._most_texts and "labels" in self._fields:
                raise LimitExceeded("images or labels in this request, at least", self._most_files + 1, self._most_files)
            if self._text_count > self._most_texts:
                raise LimitExceeded("texts in this form, at least", self._text_count, self._most_texts)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._content.write(memoryview(data)[start:end])
        if self._file_name is None and self._content.tell() > _MOST_TEXT_BYTES:
            raise LimitExceeded(f"bytes of a text {self._field}, at least", self._content.tell(), _MOST_TEXT_BYTES)

    def _on_part_end(self) -> None:
        if self._file_name is not None:
            self._files[self._field].append((self._file_name, self._content))
            return
        _, options = parse_options_header(self._headers.get(b"content-type"))
        charset = options.get(b"charset", b"").decode("latin-1") or None
        self._texts[self._field].append(_Text(self._content.getvalue(), charset))

    def _on_end(self) -> None:
        self._closed = True


def _decoded(field: str, text: _Text, charset: str) -> str:
    charset = text.charset or charset
    if not _is_known(charset):
        raise InvalidRequest(f"a text {field} cannot be read in the charset {charset[:100]}, which is unknown here; send UTF-8")
    try:
        return text.raw.decode(charset)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"a text {field} cannot be read in the charset {charset[:100]}; send UTF-8") from error


def _is_known(charset: str) -> bool:
    return charset.lower().replace("_", "-") in _CHARSETS


def _file_name(raw: bytes, charset: str) -> str:
    """Bytes that the charset does not allow are written out: a file's name is for messages, and never fails it."""
    try:
        return raw.decode(charset if _is_known(charset) else "utf-8")
    except UnicodeDecodeError:
        return raw.decode(errors="backslashreplace")
