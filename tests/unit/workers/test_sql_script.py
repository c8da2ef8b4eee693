"""Statements are found by their semicolons, and parameters by their colons, where these are what they look like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_py.workers.steps.sql_script import Statement, one_statement, split_statements


def texts(script: str, dialect: str = "postgresql") -> list[str]:
    return [statement.text for statement in split_statements(script, dialect)]


def statement(text: str, dialect: str = "postgresql") -> Statement:
    return one_statement(text, dialect)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("select 1", ["select 1"]),
        ("select 1;\n\nselect 2 ;", ["select 1", "select 2 "]),
        (";;  ; -- nothing\n/* at all */;", []),
        ("insert into t values ('a;b''c;'); select \";\"", ["insert into t values ('a;b''c;')", 'select ";"']),
        ("select 1 -- one; two\n; select 2", ["select 1 -- one; two\n", "select 2"]),
        ("select /* ; */ 1; select 2", ["select /* ; */ 1", "select 2"]),
        ("select 'not closed; select 2", ["select 'not closed; select 2"]),
    ],
)
@pytest.mark.parametrize("dialect", ["postgresql", "sqlite", "mysql", "oracle"])
def test_a_semicolon_ends_a_statement_unless_it_is_text(script: str, expected: list[str], dialect: str) -> None:
    assert [text.strip() for text in expected] == texts(script, dialect)


def test_each_dialect_has_quotes_of_its_own() -> None:
    assert ["do $$ begin; end; $$", "select 1"] == texts("do $$ begin; end; $$; select 1")
    assert ["select $a$ ; $$ ; $b$ ; $a$", "select $1"] == texts("select $a$ ; $$ ; $b$ ; $a$; select $1")
    assert ["select /* a /* ; */ ; */ 1", "select 2"] == texts("select /* a /* ; */ ; */ 1; select 2")
    assert [r"select E'it\'s;'", "select 2"] == texts(r"select E'it\'s;'; select 2")
    assert [r"select '\'", "select 2"] == texts(r"select '\'; select 2")
    assert [r"select 'it\'s;', `;` # ;", "select 2"] == texts("select 'it\\'s;', `;` # ;\n; select 2", "mysql")
    assert ["select [a;b]", "select `;`"] == texts("select [a;b]; select `;`", "sqlite")
    assert ["select a[1", "2]"] == texts("select a[1;2]")


def test_a_body_belongs_to_what_it_creates() -> None:
    trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE b SET c = CASE WHEN 1 THEN 2 END; DELETE FROM d; END"
    function = "create or replace function f() returns int begin atomic select 1; select 2; end"

    assert [trigger, "select 1"] == texts(f"{trigger}; select 1", "sqlite")
    assert [function, "select 1"] == texts(f"{function}; select 1")
    assert ["create table begin_end (a int)", "select 1"] == texts("create table begin_end (a int); select 1")


def test_a_statement_of_a_list_is_not_taken_apart() -> None:
    """Only what would follow its end is left out: a procedure of any dialect can be written so."""
    body = "CREATE PROCEDURE p() BEGIN IF a THEN b; END IF; END"

    assert body == statement(f" {body} ;\n; ", "mysql").text


@pytest.mark.parametrize(
    ("text", "binds"),
    [
        ("select :day, :d2, :_x, :day", ("day", "d2", "_x")),
        ("select a::int, b :: text, '12:30', ':x', \":y\"", ()),
        ("select x -- :a\n /* :b */ from t", ()),
        ("select $$ :a $$, $t$ :b $t$", ()),
        ("select a[1:2], a[:2], a[:n]", ("n",)),
        (r"select \:no, :yes", ("yes",)),
        ("select :größe", ("größe",)),
        ("set x := 1", ()),
        ("select :a||:b,(:c)", ("a", "b", "c")),
        ("select :day::date + 1", ("day",)),
    ],
)
def test_a_parameter_is_a_colon_and_a_name(text: str, binds: tuple[str, ...]) -> None:
    assert binds == statement(text).binds


def test_what_follows_in_is_spread() -> None:
    text = "select 1 where a IN :a and b in /* them */ :b and c in (:c) and d = any(:d) and 'in' = :e and min :f"

    assert {"a", "b"} == statement(text).spreads


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("select 1", True),
        ("  -- first\n WITH x AS (select 1) SELECT * FROM x", True),
        ("VALUES (1)", True),
        ("table t", True),
        ("with x as (insert into t values (1) returning *) select * from x", False),
        ("select * into u from t", False),
        ("select 'insert'", True),
        ("insert into t select 1", False),
        ("explain select 1", False),
        ("call p()", False),
    ],
)
def test_a_statement_that_only_reads_is_known(text: str, answer: bool) -> None:
    assert answer == statement(text).only_reads


@pytest.mark.parametrize(
    "text", ["BEGIN", "begin transaction", "START  TRANSACTION", "Commit /* now */ ;", "rollback", "END"]
)
def test_a_statement_that_begins_or_ends_a_transaction_is_known(text: str) -> None:
    assert statement(text).controls_transaction


@pytest.mark.parametrize("text", ["begin insert into t values (1); end;", "savepoint s", "rollback to s", "endless"])
def test_others_do_not(text: str) -> None:
    assert not statement(text).controls_transaction


def test_a_title_has_the_first_words_only() -> None:
    assert "create user u" == statement("create user u password 'secret'").title
    assert "…" == statement("(1)").title


SCRIPTS = st.text(st.sampled_from("a:;'\"`$-/*#[]() \n1"), max_size=40)


@given(SCRIPTS, st.sampled_from(["postgresql", "sqlite", "mysql"]))
def test_nothing_inside_a_statement_is_lost(script: str, dialect: str) -> None:
    text = statement(script, dialect).text
    start = script.find(text)

    assert start >= 0
    assert ("", "") == (script[:start].strip(), script[start + len(text) :].strip("; \n"))


@given(SCRIPTS, st.sampled_from(["postgresql", "sqlite", "mysql"]))
def test_statements_stand_in_the_script_in_their_order(script: str, dialect: str) -> None:
    rest = script
    for text in texts(script, dialect):
        _, found, rest = rest.partition(text)

        assert text == found
