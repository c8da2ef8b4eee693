"""
Take the text of SQL apart: its statements, and the parameters that each binds.  Pure.

It knows no grammar, only what text, comments and names in quotes look like, and so where a ``;`` or a ``:name`` is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

#: Dialects whose texts in single quotes know ``\'``.
_BACKSLASH: Final = frozenset({"mysql", "mariadb"})
_BRACKETS: Final = frozenset({"sqlite", "mssql"})
_HASH_COMMENTS: Final = frozenset({"mysql", "mariadb"})
_DOLLAR_QUOTES: Final = frozenset({"postgresql", "cockroachdb"})
#: What is created with a body of statements of its own.
_WITH_BODY: Final = frozenset({"FUNCTION", "PROCEDURE", "TRIGGER"})
_TRANSACTION: Final = re.compile(
    r"(BEGIN|START|COMMIT|END|ROLLBACK|ABORT)(\s+(TRANSACTION|WORK|IMMEDIATE|DEFERRED|EXCLUSIVE))?", re.IGNORECASE
)
_READS: Final = frozenset({"SELECT", "VALUES", "TABLE", "WITH"})
_WRITES: Final = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "INTO"})


class _Kind(Enum):
    TEXT = "text"
    WORD = "word"
    QUOTED = "quoted"  #: A text or a name in quotes.
    COMMENT = "comment"
    BIND = "bind"
    END = "end"


class _Token(NamedTuple):
    kind: _Kind
    text: str


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement."""

    tokens: tuple[_Token, ...]

    @property
    def text(self) -> str:
        """Return it as it was written."""
        return "".join(token.text for token in self.tokens)

    @property
    def title(self) -> str:
        """Return its first words: enough to be recognised, too little for a secret."""
        return " ".join(_words(self)[:3]) or "…"

    @property
    def binds(self) -> tuple[str, ...]:
        """Return the names of the parameters that it binds."""
        return tuple(dict.fromkeys(token.text[1:] for token in self.tokens if token.kind is _Kind.BIND))

    @property
    def spreads(self) -> frozenset[str]:
        """Return the names of those that stand directly after IN: each value of a list is bound by itself."""
        found = set()
        before = ""
        for token in self.tokens:
            if token.kind is _Kind.BIND and before == "IN":
                found.add(token.text[1:])
            if token.kind is not _Kind.COMMENT and token.text.strip():
                before = token.text.upper() if token.kind is _Kind.WORD else ""
        return frozenset(found)

    @property
    def controls_transaction(self) -> bool:
        """Say whether it begins or ends a transaction."""
        bare = "".join(token.text for token in self.tokens if token.kind is not _Kind.COMMENT)
        return _TRANSACTION.fullmatch(bare.strip()) is not None

    @property
    def only_reads(self) -> bool:
        """Say whether it is certainly a query that changes nothing by itself; PostgreSQL can give it a cursor."""
        words = [word.upper() for word in _words(self)]
        return bool(words) and words[0] in _READS and _WRITES.isdisjoint(words)

    def escaped(self) -> str:
        """Return it as SQLAlchemy's ``text`` wants it: each colon that is no parameter's has a backslash."""
        return "".join(
            token.text if token.kind is _Kind.BIND else token.text.replace(":", "\\:") for token in self.tokens
        )


def split_statements(text: str, dialect: str) -> list[Statement]:
    """
    Return the statements of a script, which semicolons separate; empty ones, and those of comments only, are left out.

    The body of a function, procedure or trigger, between BEGIN and END, belongs to the statement that creates it.
    """
    found = []
    part = _Part()
    for token in _tokens(text, dialect):
        if token.kind is _Kind.END and part.depth == 0:
            found.append(part)
            part = _Part()
        else:
            part.add(token)
    found.append(part)
    return [_trimmed(part.tokens) for part in found if part.has_text]


def one_statement(text: str, dialect: str) -> Statement:
    """Return *text* as one statement, whatever semicolons are inside it; those at its end are left out."""
    tokens = list(_tokens(text, dialect))
    while tokens and (tokens[-1].kind is _Kind.END or not tokens[-1].text.strip()):
        tokens.pop()
    return _trimmed(tokens)


@dataclass(slots=True)
class _Part:
    """A statement that is being read."""

    tokens: list[_Token] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    depth: int = 0  #: How many BEGIN and CASE wait for their END.

    @property
    def has_text(self) -> bool:
        return any(token.kind is not _Kind.COMMENT and token.text.strip() for token in self.tokens)

    def add(self, token: _Token) -> None:
        self.tokens.append(token)
        if token.kind is not _Kind.WORD:
            return
        word = token.text.upper()
        if self._has_body():
            self.depth += (word == "BEGIN") + (word == "CASE" and self.depth > 0) - (word == "END" and self.depth > 0)
        elif len(self.words) < 8:
            self.words.append(word)

    def _has_body(self) -> bool:
        return self.words[:1] == ["CREATE"] and not _WITH_BODY.isdisjoint(self.words)


def _trimmed(tokens: Sequence[_Token]) -> Statement:
    texts = list(tokens)
    while texts and not texts[0].text.strip():
        del texts[0]
    while texts and not texts[-1].text.strip():
        del texts[-1]
    return Statement(tuple(texts))


def _words(statement: Statement) -> list[str]:
    return [token.text for token in statement.tokens if token.kind is _Kind.WORD]


def _tokens(text: str, dialect: str) -> Iterator[_Token]:
    pattern = _pattern(dialect)
    position = 0
    while position < len(text):
        match = pattern.match(text, position)
        assert match is not None, "the pattern has a branch for any character"
        kind, found = _KINDS[match.lastgroup or "other"], match.group()
        if match.lastgroup == "comment" and dialect in _DOLLAR_QUOTES:
            found = text[position : _end_of_nested(text, position)]
        elif match.lastgroup == "escaped":
            found = ":"
            position += 1
        yield _Token(kind, found)
        position += len(found)


def _end_of_nested(text: str, position: int) -> int:
    """Return where the comment that begins at *position* ends; comments of PostgreSQL may hold others."""
    depth = 0
    for match in re.compile(r"/\*|\*/").finditer(text, position):
        depth += 1 if match.group() == "/*" else -1
        if depth == 0:
            return match.end()
    return len(text)


_BACKSLASH_STRING: Final = r"'[^'\\]*(?:(?:''|\\.)[^'\\]*)*'?"
#: An unclosed quote or comment goes on to the end: the database will say what is wrong with it.
_LEXEMES: Final[Mapping[str, str]] = {
    "space": r"\s+",
    "line": r"--[^\n]*",
    "comment": r"/\*.*?(?:\*/|\Z)",
    "string": r"'[^']*(?:''[^']*)*'?",
    "escape_string": rf"(?<!\w)[eE]{_BACKSLASH_STRING}",
    "name": r'"[^"]*(?:""[^"]*)*"?',
    "backtick": r"`[^`]*(?:``[^`]*)*`?",
    "dollar": r"\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)",
    "double_colon": r"::",
    "escaped": r"\\:",
    "bind": r"(?<![:\w\\]):[^\W\d]\w*",
    "end": r";",
    "word": r"[^\W\d][\w$]*",
    "other": r"[^\w\s'\"`$;:/\-\[#\\]+|.",
}
_KINDS: Final = {
    "line": _Kind.COMMENT,
    "hash": _Kind.COMMENT,
    "comment": _Kind.COMMENT,
    "string": _Kind.QUOTED,
    "escape_string": _Kind.QUOTED,
    "name": _Kind.QUOTED,
    "backtick": _Kind.QUOTED,
    "bracket": _Kind.QUOTED,
    "dollar": _Kind.QUOTED,
    "bind": _Kind.BIND,
    "end": _Kind.END,
    "word": _Kind.WORD,
    "space": _Kind.TEXT,
    "double_colon": _Kind.TEXT,
    "escaped": _Kind.TEXT,
    "other": _Kind.TEXT,
}


@lru_cache
def _pattern(dialect: str) -> re.Pattern[str]:
    """Return the pattern of one lexeme of *dialect*."""
    lexemes = dict(_LEXEMES)
    other, word = lexemes.pop("other"), lexemes.pop("word")
    if dialect in _BACKSLASH:
        lexemes["string"] = _BACKSLASH_STRING
    if dialect in _HASH_COMMENTS:
        lexemes["hash"] = r"\#[^\n]*"
    if dialect in _BRACKETS:
        lexemes["bracket"] = r"\[[^\]]*\]?"
    if dialect not in _DOLLAR_QUOTES:
        del lexemes["dollar"], lexemes["escape_string"]
    return re.compile(
        "|".join(f"(?P<{name}>{lexeme})" for name, lexeme in (lexemes | {"word": word, "other": other}).items()),
        re.DOTALL,
    )
