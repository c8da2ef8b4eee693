"""4.8 String, row by row.  The expected values were printed by Java 17 running the same calls."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.expressions.world import failure, value_of

METHODS = [
    ("'a,b,,c,,'.split(',')", ["a", "b", "", "c"]),
    ("'a,b,,c,,'.split(',', -1)", ["a", "b", "", "c", "", ""]),
    ("'a,b,c'.split(',', 2)", ["a", "b,c"]),
    ("'boo:and:foo'.split('o')", ["b", "", ":and:f"]),
    ("'boo:and:foo'.split('o', 5)", ["b", "", ":and:f", "", ""]),
    ("'boo:and:foo'.split('o', -2)", ["b", "", ":and:f", "", ""]),
    ("''.split(',')", [""]),
    ("',a'.split(',')", ["", "a"]),
    ("'abc'.split('')", ["a", "b", "c"]),
    ("'abc'.split('', -1)", ["a", "b", "c", ""]),
    (r"' a  b '.split('\\s+')", ["", "a", "b"]),
    ("'2024-01-02'.split('-')", ["2024", "01", "02"]),
    ("'a1b22c'.split('[0-9]+')", ["a", "b", "c"]),
    (r"'a.b.c'.split('\\.')", ["a", "b", "c"]),
    ("'a|b'.split('|')", ["a", "|", "b"]),
    ("',,,'.split(',')", []),
    ("'abc'.split('x*', -1)", ["a", "b", "c", ""]),
    ("'abc'.split('x')", ["abc"]),
    ("'axb'.replaceAll('x*', '-')", "-a--b-"),
    (r"'2024-01-02'.replaceAll('(\\d+)-(\\d+)-(\\d+)', '$3/$2/$1')", "02/01/2024"),
    ("'abc'.replaceAll('', '-')", "-a-b-c-"),
    (r"'aaa'.replaceAll('a', '\\$')", "$$$"),
    (r"'foo bar'.replaceAll('(?<first>\\w+) (?<second>\\w+)', '${second} ${first}')", "bar foo"),
    ("'abab'.replaceAll('(a)(b)', '$12')", "a2a2"),
    ("'Hello World'.replaceAll('(?i)[A-M]', '_')", "____o Wor__"),
    (r"'a\tb  c'.replaceAll('\\s', '')", "abc"),
    (r"'abc'.replaceAll('\\b', '|')", "|abc|"),
    (r"'x(y)'.replaceAll('\\(', '[')", "x[y)"),
    ("'äöü'.replaceAll('ö', '$0$0')", "äööü"),
    ("'abc'.replace('', '-')", "-a-b-c-"),
    ("'aaa'.replace('aa', 'b')", "ba"),
    (r"'a.b'.replace('.', '\\')", "a\\b"),
    ("'straße ﬁ'.toUpperCase()", "STRASSE FI"),
    ("'ÀÉ İ'.toLowerCase()", "àé i̇"),
    ("'apple'.compareTo('banana')", -1),
    ("'abc'.compareTo('ab')", 1),
    ("'a'.compareTo('B')", 31),
    ("''.compareTo('abc')", -3),
    ("'same'.compareTo('same')", 0),
    ("'abcabc'.lastIndexOf('bc')", 4),
    ("'abc'.lastIndexOf('x')", -1),
    ("'abc'.lastIndexOf('')", 3),
    (r"'a\uD83D\uDE00b'.length()", 4),
    ("'a😀b'.length()", 4),
    ("'a😀b'.substring(1, 3)", "😀"),
    ("'a😀b'.lastIndexOf('b')", 3),
    (r"'\u0001 \t x y \n '.trim()", "x y"),
    (r"'\u00a0x'.trim()", "\u00a0x"),
    ("'hamburger'.substring(4, 8)", "urge"),
    ("'unhappy'.substring(2)", "happy"),
    ("'emptiness'.substring(9)", ""),
    ("'abc'.startsWith('ab')", True),
    ("'abc'.endsWith('ab')", False),
    ("'abc'.contains('bc')", True),
    ("'abc'.length()", 3),
    ("''.isEmpty()", True),
    ("'a'.equals('a')", True),
    ("'a'.equals(null)", False),
    ("'1'.equals(1)", False),
    (r"'a\\b\t\b\n\r\f\"c'.escape()", r"a\\b\t\b\n\r\f\"c"),
    (r"String.escape('\n')", r"\n"),
    ("String.valueOf(1.0)", "1.0"),
    ("String.valueOf(true)", "true"),
    ("String.valueOf(missing)", "null"),
    ("String.join('-', 'a', 'b', 1)", "a-b-1"),
    ("String.join('-', new String[]{'a', 'b'})", "a-b"),
    ("String.join('-')", ""),
    ("new String()", ""),
    ("new String('x')", "x"),
    ("new String(5)", "5"),
    ("String.format('%s|%10s|%-10s|%.2s|%S', 'abc', 'abc', 'abc', 'abc', 'abc')", "abc|       abc|abc       |ab|ABC"),
    ("String.format('%2$s %1$s %<s %s', 'a', 'b')", "b a a a"),
    ("String.format('%b %B %b %5b|', true, false, null, true)", "true FALSE false  true|"),
    ("String.format('%s %s %s', 1, 1.5, null)", "1 1.5 null"),
    ("String.format('100%% %n')", "100% \n"),
    ("String.format('%d', null)", "null"),
    ("String.format('%5%|')", "    %|"),
    ("String.format('%f %e', 0.0 / 0, -1.0 / 0)", "NaN -Infinity"),
    ("String.format('%s-%s', new long[]{4, 5})", "4-5"),
]


@pytest.mark.parametrize(("source", "expected"), METHODS, ids=[f"4.8-String-{source}" for source, _ in METHODS])
def test_string_functions_do_what_java_does(source: str, expected: object) -> None:
    """Each function of String gives what Java 17 gives."""
    assert expected == value_of(source)


FORMATS = [
    tuple(line.split("\t"))
    for line in Path(__file__).with_name("java17_formats.tsv").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize(
    ("pattern", "number", "expected"), FORMATS, ids=[f"4.8-format-{row[0]}-{row[1]}" for row in FORMATS]
)
def test_numbers_are_formatted_as_java_17_printed_them(pattern: str, number: str, expected: str) -> None:
    """`String.format` of numbers gives what Java 17 printed (java17_formats.tsv)."""
    value: int | float = float(number) if "." in number else int(number)

    assert expected == value_of("String.format(pattern, number)", {"pattern": pattern, "number": value})


REFUSED = [
    ("'abc'.substring(2, 1)", "substring from 2 to 1"),
    ("'abc'.substring(-1)", "substring from -1"),
    ("'abc'.substring(4)", "substring from 4"),
    ("'abc'.indexOf('a')", "STRING has no method indexOf"),
    ("'abc'.charAt(1)", "STRING has no method charAt"),
    ("'abc'.matches('a')", "STRING has no method matches"),
    ("'abc'.toString()", "STRING has no method toString"),
    ("'a'.__class__", "no field __class__"),
    ("'a'.__init__()", "no method __init__"),
    ("'abc'.startsWith(1)", "startsWith(LONG) does not exist"),
    ("'abc'.replaceAll('(?=a)', '')", "not a regular expression of the supported kind"),
    (r"'abc'.replaceAll('(a)\\1', '')", "not a regular expression of the supported kind"),
    ("'abc'.replaceAll('a++', '')", "not a regular expression of the supported kind"),
    ("'abc'.replaceAll('[a-z&&[^b]]', '')", "&& inside a character class"),
    ("'abc'.replaceAll('a', '$1')", "no group 1"),
    ("'abc'.replaceAll('a', '${x}')", "no group x"),
    ("'abc'.replaceAll('a', '$')", "stands for nothing"),
    ("'abc'.split('(')", "not a regular expression"),
    ("String.format('%d', 1.5)", "%d does not take a DOUBLE"),
    ("String.format('%f', 1)", "%f does not take a LONG"),
    ("String.format('%s')", "has no argument"),
    ("String.format('%c', 65)", "not a conversion of the language"),
    ("String.format('%-d', 1)", "want a width"),
    ("String.format('%+ d', 1)", "do not fit"),
    ("String.format('%.1d', 1)", "takes no precision"),
    ("String.format('%', 1)", "is not a format specifier"),
    ("new String(1.5)", "String(DOUBLE) does not exist"),
]


@pytest.mark.parametrize(("source", "message"), REFUSED, ids=[f"4.8-String-refused-{source}" for source, _ in REFUSED])
def test_what_strings_cannot_do_is_said_in_words(source: str, message: str) -> None:
    """A wrong call of a String function names the function and what is wrong."""
    assert message in failure(source).message
