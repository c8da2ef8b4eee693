"""
4.8 DateTime, DateTimeFormat, DateTimeZone, Days and Util.

The oracle is Python's own ``datetime`` with ``zoneinfo``, which shares no code with the evaluator's calendar; the rules
for gaps and overlaps of the clock are those that Joda documents.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.expressions.world import NOON_MS, examples, failure, value_of

LEAP = "new DateTime('2024-02-29T13:14:15.678Z')"
LA = "DateTimeZone.forID('America/Los_Angeles')"
PARIS = "DateTimeZone.forID('Europe/Paris')"

METHODS = [
    ("new DateTime().getMillis()", NOON_MS),
    ("new DateTime(0).toString()", "1970-01-01T00:00:00.000Z"),
    ("new DateTime('2024-02-29').toString()", "2024-02-29T00:00:00.000Z"),
    ("new DateTime('2024-02').toString()", "2024-02-01T00:00:00.000Z"),
    ("new DateTime('2024').toString()", "2024-01-01T00:00:00.000Z"),
    ("new DateTime('2024-W09-4').toString()", "2024-02-29T00:00:00.000Z"),
    ("new DateTime('2024-060').toString()", "2024-02-29T00:00:00.000Z"),
    ("new DateTime('2024-02-29T10:30').toString()", "2024-02-29T10:30:00.000Z"),
    ("new DateTime('2024-02-29T10:30:15,25+02:00').toString()", "2024-02-29T08:30:15.250Z"),
    (f"new DateTime('2024-02-29T10:30', {LA}).toString()", "2024-02-29T10:30:00.000-08:00"),
    (f"new DateTime(0, {LA}).toString()", "1969-12-31T16:00:00.000-08:00"),
    ("new DateTime(2024, 2, 29, 1, 2, 3, 4, DateTimeZone.UTC).toString()", "2024-02-29T01:02:03.004Z"),
    (f"{LEAP}.toString('yyyy/MM/dd')", "2024/02/29"),
    ("DateTime.parse('29.02.2024', DateTimeFormat.forPattern('dd.MM.yyyy')).toString()", "2024-02-29T00:00:00.000Z"),
    (f"{LEAP}.withZone({PARIS}).toString()", "2024-02-29T14:14:15.678+01:00"),
    (f"{LEAP}.toDateTime({LA}).toString()", "2024-02-29T05:14:15.678-08:00"),
    (f"{LEAP}.plusYears(1).toString()", "2025-02-28T13:14:15.678Z"),
    (f"{LEAP}.minusYears(4).toString()", "2020-02-29T13:14:15.678Z"),
    ("new DateTime('2024-01-31').plusMonths(1).toString()", "2024-02-29T00:00:00.000Z"),
    ("new DateTime('2024-03-31').minusMonths(1).toString()", "2024-02-29T00:00:00.000Z"),
    ("new DateTime('2024-11-30').plusMonths(3).toString()", "2025-02-28T00:00:00.000Z"),
    (f"{LEAP}.plusWeeks(1).toString()", "2024-03-07T13:14:15.678Z"),
    (f"{LEAP}.minusWeeks(1).toString()", "2024-02-22T13:14:15.678Z"),
    (f"{LEAP}.plusDays(1).toString()", "2024-03-01T13:14:15.678Z"),
    (f"{LEAP}.minusDays(1).toString()", "2024-02-28T13:14:15.678Z"),
    (f"{LEAP}.plusHours(11).toString()", "2024-03-01T00:14:15.678Z"),
    (f"{LEAP}.minusHours(1).toString()", "2024-02-29T12:14:15.678Z"),
    (f"{LEAP}.plusMinutes(1).toString()", "2024-02-29T13:15:15.678Z"),
    (f"{LEAP}.minusMinutes(15).toString()", "2024-02-29T12:59:15.678Z"),
    (f"{LEAP}.plusSeconds(1).toString()", "2024-02-29T13:14:16.678Z"),
    (f"{LEAP}.minusSeconds(1).toString()", "2024-02-29T13:14:14.678Z"),
    (f"{LEAP}.plusMillis(1).toString()", "2024-02-29T13:14:15.679Z"),
    (f"{LEAP}.minusMillis(1).toString()", "2024-02-29T13:14:15.677Z"),
    (f"{LEAP}.isAfter(new DateTime(0))", True),
    (f"{LEAP}.isBefore(new DateTime(0))", False),
    (f"{LEAP}.isEqual({LEAP}.withZone({LA}))", True),
    (f"{LEAP}.withTimeAtStartOfDay().toString()", "2024-02-29T00:00:00.000Z"),
    (f"{LEAP}.withZone({LA}).withTimeAtStartOfDay().toString()", "2024-02-29T00:00:00.000-08:00"),
    (f"{LEAP}.withYear(2023).toString()", "2023-02-28T13:14:15.678Z"),
    (f"{LEAP}.withWeekyear(2023).toString()", "2023-03-02T13:14:15.678Z"),
    ("new DateTime('2020-12-31').withWeekyear(2021).toString()", "2021-12-30T00:00:00.000Z"),
    (f"{LEAP}.withMonthOfYear(1).toString()", "2024-01-29T13:14:15.678Z"),
    (f"{LEAP}.withWeekOfWeekyear(1).toString()", "2024-01-04T13:14:15.678Z"),
    (f"{LEAP}.withDayOfYear(1).toString()", "2024-01-01T13:14:15.678Z"),
    (f"{LEAP}.withDayOfMonth(1).toString()", "2024-02-01T13:14:15.678Z"),
    (f"{LEAP}.withDayOfWeek(DateTimeConstants.SUNDAY).toString()", "2024-03-03T13:14:15.678Z"),
    (f"{LEAP}.withHourOfDay(0).toString()", "2024-02-29T00:14:15.678Z"),
    (f"{LEAP}.withMinuteOfHour(0).toString()", "2024-02-29T13:00:15.678Z"),
    (f"{LEAP}.withSecondOfMinute(0).toString()", "2024-02-29T13:14:00.678Z"),
    (f"{LEAP}.withMillisOfSecond(0).toString()", "2024-02-29T13:14:15.000Z"),
    (f"{LEAP}.withMillisOfDay(1).toString()", "2024-02-29T00:00:00.001Z"),
    (f"{LEAP}.getMillis()", 1709212455678),
    (f"{LEAP}.getYear()", 2024),
    (f"{LEAP}.getHourOfDay()", 13),
    (f"{LEAP}.getWeekOfWeekyear()", 9),
    (f"{LEAP}.getWeekyear()", 2024),
    (f"{LEAP}.getDayOfWeek()", 4),
    (f"{LEAP}.getDayOfMonth()", 29),
    (f"{LEAP}.getDayOfYear()", 60),
    (f"{LEAP}.getMillisOfDay()", 47655678),
    (f"{LEAP}.getMillisOfSecond()", 678),
    (f"{LEAP}.getMinuteOfDay()", 794),
    (f"{LEAP}.getMinuteOfHour()", 14),
    (f"{LEAP}.getSecondOfMinute()", 15),
    (f"{LEAP}.getMonthOfYear()", 2),
    (f"{LEAP}.getSecondOfDay()", 47655),
    ("'at ' + new DateTime(0)", "at 1970-01-01T00:00:00.000Z"),
    *[
        (f"{LEAP}.{name}().get()", value)
        for name, value in {
            "monthOfYear": 2, "weekyear": 2024, "weekOfWeekyear": 9, "dayOfYear": 60, "dayOfMonth": 29, "dayOfWeek": 4,
            "hourOfDay": 13, "minuteOfDay": 794, "minuteOfHour": 14, "secondOfDay": 47655, "secondOfMinute": 15,
            "millisOfDay": 47655678, "millisOfSecond": 678,
        }.items()
    ],
    (f"{LEAP}.monthOfYear().getAsText()", "February"),
    (f"{LEAP}.dayOfWeek().getAsText()", "Thursday"),
    (f"{LEAP}.dayOfMonth().getAsText()", "29"),
    (f"{LEAP}.dayOfMonth().withMinimumValue().toString('yyyyMMdd')", "20240201"),
    (f"{LEAP}.dayOfMonth().withMaximumValue().toString('yyyyMMdd')", "20240229"),
    (f"{LEAP}.dayOfYear().withMaximumValue().toString('yyyyMMdd')", "20241231"),
    (f"{LEAP}.dayOfWeek().withMinimumValue().toString('yyyyMMdd')", "20240226"),
    (f"{LEAP}.hourOfDay().withMaximumValue().getHourOfDay()", 23),
    # formatters
    ("DateTimeFormat.forPattern('yyyyMMdd').print(0)", "19700101"),
    (f"DateTimeFormat.forPattern('yyyyMMdd HH').print({LEAP})", "20240229 13"),
    (f"DateTimeFormat.forPattern('yyyyMMdd HH').withZone({LA}).print({LEAP})", "20240229 05"),
    ("DateTimeFormat.forPattern('yyyyMMdd').parseMillis('20240229')", 1709164800000),
    ("DateTimeFormat.forPattern('yyyyMMdd').parseDateTime(20240229).getMillis()", 1709164800000),
    (
        f"DateTimeFormat.forPattern('yyyyMMddHH').withZone({LA}).parseDateTime('2024022905').toString()",
        "2024-02-29T05:00:00.000-08:00",
    ),
    (
        "DateTimeFormat.forPattern('yyyy-MM-dd HH:mm Z').parseDateTime('2024-02-29 05:00 +0200').toString()",
        "2024-02-29T03:00:00.000Z",
    ),
    ("DateTimeFormat.forPattern('MM/dd').parseDateTime('02/29').getYear()", 2000),
    ("DateTimeFormat.forPattern('yy').parseDateTime('43').getYear()", 2043),
    ("DateTimeFormat.forPattern('yy').parseDateTime('44').getYear()", 1944),
    ("DateTimeFormat.forPattern('HH:mm').parseMillis('01:30')", 5400000),
    ("DateTimeFormat.forPattern('d MMM yyyy').parseDateTime('29 feb 2024').getDayOfYear()", 60),
    ("DateTimeFormat.forPattern('h:mm a').parseMillis('12:05 am')", 300000),
    ("DateTimeFormat.forPattern('h:mm a').parseMillis('12:05 PM')", 43500000),
    ("DateTimeFormat.forPattern('s.SSS').parseMillis('5.250')", 5250),
    ("DateTimeFormat.forPattern(\"xxxx-'W'ww-e\").parseDateTime('2024-W09-4').toString('yyyyMMdd')", "20240229"),
    # zones and days
    ("'' + DateTimeZone.UTC", "UTC"),
    (f"{LA}.getOffset(new DateTime(0))", -8 * 3600 * 1000),
    ("DateTimeZone.forID('+05:30').getOffset(0)", 19800000),
    ("'' + DateTimeZone.forID('-03:00')", "-03:00"),
    ("Days.daysBetween(new DateTime('2024-02-28'), new DateTime('2024-03-01')).getDays()", 2),
    ("Days.daysBetween(new DateTime('2024-03-01'), new DateTime('2024-02-28T01:00')).getDays()", -1),
    (f"Days.daysBetween(new DateTime('2024-03-09', {LA}), new DateTime('2024-03-11', {LA})).getDays()", 2),
    # declared types
    ("DateTime t = new DateTime(0); DateTimeZone z = DateTimeZone.UTC; t.withZone(z).getYear()", 1970),
    ("DateTimeFormatter f = DateTimeFormat.forPattern('HH'); f.print(0)", "00"),
    ("Days d = Days.daysBetween(new DateTime(0), new DateTime(0)); d.getDays()", 0),
    ("Property p = new DateTime(0).dayOfYear(); p.get()", 1),
    ("UUID u = UUID.randomUUID(); u.toString().length()", 36),
    # Util
    ("Util.dateIntToTs(20240229)", 1709164800000),
    ("Util.dateIntToTs('20240229')", 1709164800000),
    ("Util.tsToDateInt(1709208000000)", "20240229"),
    ("Util.incrementDateInt(20240228, 2)", "20240301"),
    ("Util.incrementDateInt('20240301', -1)", "20240229"),
    ("Util.dateIntHourToTs('20240301', '05', 'UTC', 1, 5)", 1709164800000),
    ("Util.dateIntHourToTs(20240301, 5, 'UTC', 1, 5)", 1709164800000),
    ("Util.dateIntHourToTs('20240311', '00', 'America/Los_Angeles', 1, 0)", 1710057600000),
    ("Util.timeoutForDateTimeDeadline(new DateTime('2024-02-29T12:00:01Z'), '1 hour')", "3601000 milliseconds"),
    ("Util.timeoutForDateTimeDeadline(new DateTime(0), '1 hour')", "0 milliseconds"),
    ("Util.timeoutForDateIntDeadline(20240229, '1 day 2 hours')", "50400000 milliseconds"),
    ("Util.timeoutForDateIntDeadline('20240229', '13h')", "3600000 milliseconds"),
    ("Util.dateIntsBetween(20240228, 20240302, 1)", [20240228, 20240229, 20240301]),
    ("Util.dateIntsBetween('20240302', '20240228', -2)", [20240302, 20240229]),
    ("Util.dateIntsBetween(20240302, 20240228, 1)", []),
    ("Util.intsBetween(0, 5, 2)", [0, 2, 4]),
    ("Util.intsBetween(5, 0, -2)", [5, 3, 1]),
    ("Util.intsBetween(0, 5, -1)", []),
    ("Util.toJson(m)", '{"a":[1,2],"b":1.0,"c":"x\\"y","d":null,"e":true}'),
    ("Util.toJson('ä\\n')", '"ä\\n"'),
    ("Util.toJson(new String[]{'a', null})", '["a",null]'),
]  # fmt: skip


@pytest.mark.parametrize(("source", "expected"), METHODS, ids=[f"4.8-date-{source}" for source, _ in METHODS])
def test_dates_do_what_joda_documents(source: str, expected: object) -> None:
    """Each function of dates, formatters, zones and Util gives what is documented."""
    params: dict[str, object] = {"m": {"a": [1, 2], "b": 1.0, "c": 'x"y', "d": None, "e": True}}
    actual = value_of(source, params)

    assert expected == actual
    assert type(expected) is type(actual)


PATTERNS = [
    ("yyyy-MM-dd'T'HH:mm:ss.SSS", "2024-02-29T13:14:15.678"),
    ("yy.M.d", "24.2.29"),
    ("G Y C x", "AD 2024 20 2024"),
    ("w e E EEEE D", "9 4 Thu Thursday 60"),
    ("MMM MMMM", "Feb February"),
    ("h K a H k", "1 1 PM 13 13"),
    ("m mm s ss S SS SSSS", "14 14 15 15 6 67 6780"),
    ("Z ZZ ZZZ z", "+0000 +00:00 UTC UTC"),
    ("'literal' '' yyyy''", "literal ' 2024'"),
    ("[yyyy] äö", "[2024] äö"),
]


@pytest.mark.parametrize(("pattern", "expected"), PATTERNS, ids=[f"4.8-pattern-{row[0]}" for row in PATTERNS])
def test_each_letter_of_a_pattern_is_written(pattern: str, expected: str) -> None:
    """Each letter of a Joda pattern writes its field."""
    assert expected == value_of(f"{LEAP}.toString(p)", {"p": pattern})


CLOCK_CHANGES = [
    # Los Angeles skips 02:00-03:00 on 2024-03-10 and repeats 01:00-02:00 on 2024-11-03.
    (f"new DateTime('2024-03-09T02:30', {LA}).plusDays(1).toString()", "2024-03-10T03:30:00.000-07:00"),
    (f"new DateTime('2024-03-10T01:30', {LA}).plusHours(1).toString()", "2024-03-10T03:30:00.000-07:00"),
    (f"new DateTime('2024-11-03T01:30', {LA}).toString()", "2024-11-03T01:30:00.000-07:00"),
    (f"new DateTime('2024-11-03T01:30', {LA}).plusHours(1).toString()", "2024-11-03T01:30:00.000-08:00"),
    (
        f"new DateTime('2024-11-03T01:30', {LA}).plusHours(1).plusMinutes(5).withMinuteOfHour(30).toString()",
        "2024-11-03T01:30:00.000-08:00",
    ),
    (f"new DateTime('2024-11-03T00:30', {LA}).plusDays(1).toString()", "2024-11-04T00:30:00.000-08:00"),
    (f"new DateTime('2024-10-27T02:30', {PARIS}).toString()", "2024-10-27T02:30:00.000+02:00"),
    # Sao Paulo skipped midnight on 2018-11-04.
    (
        "new DateTime('2018-11-04T12:00', DateTimeZone.forID('America/Sao_Paulo')).withTimeAtStartOfDay().toString()",
        "2018-11-04T01:00:00.000-02:00",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("source", "expected"), CLOCK_CHANGES, ids=[f"4.8-clocks-{row[0]}" for row in CLOCK_CHANGES])
def test_where_clocks_change_the_rules_of_joda_hold(source: str, expected: str) -> None:
    """A time that is skipped moves on by the gap; one shown twice is the earlier, unless an offset is kept."""
    assert expected == value_of(source)


REFUSED = [
    (f"new DateTime('2024-03-10T02:30', {LA})", "the clocks of America/Los_Angeles skip this time"),
    (f"new DateTime('2024-03-10T01:30', {LA}).withHourOfDay(2)", "the clocks of America/Los_Angeles skip this time"),
    ("new DateTime('2023-02-29')", "29 is no dayOfMonth"),
    ("new DateTime('yesterday')", "is not an ISO date"),
    ("new DateTime('')", "is not an ISO date"),
    ("new DateTime(2024, 13, 1, 0, 0, 0, 0, DateTimeZone.UTC)", "13 is no monthOfYear"),
    ("new DateTime(2024, 1, 1, 24, 0, 0, 0, DateTimeZone.UTC)", "24 is no hourOfDay"),
    ("new DateTime(0).withDayOfMonth(32)", "32 is no dayOfMonth"),
    ("new DateTime(0).withWeekOfWeekyear(54)", "54 is no weekOfWeekyear"),
    ("new DateTime(9223372036854775807)", "beyond the calendar"),
    ("new DateTime(0).plusYears(9223372036854775807)", "is no year"),
    ("new DateTime(0).plusMillis(9223372036854775807).plusMillis(9223372036854775807)", "beyond the calendar"),
    ("DateTimeZone.forID('Mars/Base')", "there is no time zone Mars/Base"),
    ("DateTimeZone.forID('../etc/passwd')", "there is no time zone"),
    ("DateTimeZone.forID('America')", "there is no time zone"),
    ("DateTimeFormat.forPattern('yyyy-QQ')", "'Q' means nothing"),
    ("DateTimeFormat.forPattern('')", "must have from 1"),
    ("DateTimeFormat.forPattern('yyyyMMdd').parseDateTime('2024-02-29')", "does not fit the date pattern"),
    ("DateTimeFormat.forPattern('yyyyMMdd').parseDateTime('20240230')", "30 is no dayOfMonth"),
    ("DateTimeFormat.forPattern('HH').parseDateTime('24')", "24 is no hourOfDay"),
    ("DateTimeFormat.forPattern('z').parseDateTime('PST')", "can be written but not read"),
    ("Util.dateIntToTs(2024)", "is no date of the form yyyyMMdd"),
    ("Util.dateIntToTs('20241301')", "13 is no monthOfYear"),
    ("Util.timeoutForDateIntDeadline(20240229, '1 m')", "is not a duration"),
    ("Util.intsBetween(0, 1, 0)", "the increment must not be 0"),
    ("Util.toJson(new DateTime(0))", "a DATETIME has no JSON"),
    ("new DateTime(0) == new DateTime(0)", "DATETIME == DATETIME is not defined"),
    ("new DateTime(0).getEra()", "DATETIME has no method getEra"),
]


@pytest.mark.parametrize(("source", "message"), REFUSED, ids=[f"4.8-date-refused-{source}" for source, _ in REFUSED])
def test_a_wrong_date_is_said_in_words(source: str, message: str) -> None:
    """A date, zone, pattern or duration that does not exist says so."""
    assert message in failure(source).message


ZONES = [
    "UTC", "America/Los_Angeles", "Europe/Paris", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo",
    "Pacific/Apia", "Asia/Tehran", "Africa/Casablanca", "America/St_Johns",
]  # fmt: skip


def naive(year: int) -> datetime:
    """Return the beginning of a year without a zone, as hypothesis wants its bounds."""
    return datetime(year, 1, 1, tzinfo=UTC).replace(tzinfo=None)


MOMENTS = st.datetimes(naive(1902), naive(2037)).map(lambda moment: moment.replace(microsecond=0))


def _shown(moment: datetime) -> str:
    offset = moment.utcoffset() or timedelta()
    if not offset:
        return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    return moment.isoformat(timespec="milliseconds")


@examples(150)
@given(MOMENTS, st.sampled_from(ZONES))
def test_an_instant_is_shown_as_zoneinfo_shows_it(moment: datetime, zone: str) -> None:
    """The clock on the wall and its offset agree with zoneinfo."""
    instant = moment.replace(tzinfo=UTC)
    expected = _shown(instant.astimezone(ZoneInfo(zone)))
    actual = value_of("new DateTime(t, DateTimeZone.forID(z)).toString()", {"t": _ms(instant), "z": zone})

    assert expected == actual


@examples(150)
@given(MOMENTS, st.sampled_from(ZONES), st.integers(-1000, 1000))
def test_days_move_the_clock_on_the_wall(moment: datetime, zone: str, days: int) -> None:
    """Adding days keeps the time of day, except where the clocks skip it."""
    start = moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone))
    wall = start.replace(tzinfo=None) + timedelta(days=days)
    kept = wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).astimezone(ZoneInfo(zone))
    source = "new DateTime(t, DateTimeZone.forID(z)).plusDays(n).toString(\"yyyy-MM-dd'T'HH:mm:ss\")"
    actual = value_of(source, {"t": _ms(start), "z": zone, "n": days})

    assert kept.replace(tzinfo=None).isoformat() == actual


@examples(150)
@given(MOMENTS, st.integers(-100_000, 100_000))
def test_hours_move_the_instant(moment: datetime, hours: int) -> None:
    """Adding hours adds so many times 3,600,000 milliseconds."""
    start = moment.replace(tzinfo=UTC)
    actual = value_of("new DateTime(t).plusHours(n).getMillis()", {"t": _ms(start), "n": hours})

    assert _ms(start) + hours * 3_600_000 == actual


@examples(150)
@given(st.datetimes(naive(1), naive(9999)))
def test_the_fields_of_a_date_agree_with_the_standard_library(moment: datetime) -> None:
    """Year, month, day, day of the year, ISO week and weekday agree with ``datetime``."""
    iso_year, iso_week, weekday = moment.isocalendar()
    expected = f"{moment:%d %j} {moment.year} {moment.month} {iso_year} {iso_week} {weekday}"
    source = "new DateTime(t).toString('dd DDD') + ' ' + y.getYear() + ' ' + y.getMonthOfYear() + ' ' + y.getWeekyear()"
    source = f"DateTime y = new DateTime(t); {source} + ' ' + y.getWeekOfWeekyear() + ' ' + y.getDayOfWeek()"

    assert expected == value_of(source, {"t": _ms(moment.replace(tzinfo=UTC, microsecond=0))})


@examples(100)
@given(st.dates(), st.integers(-5000, 5000))
def test_date_ints_agree_with_the_standard_library(day: object, count: int) -> None:
    """``incrementDateInt`` is the addition of days."""
    from datetime import date

    assert isinstance(day, date)
    try:
        expected = (day + timedelta(days=count)).strftime("%Y%m%d").rjust(8, "0")
    except OverflowError:
        return
    text = day.strftime("%Y%m%d").rjust(8, "0")

    assert expected == value_of("Util.incrementDateInt(d, n)", {"d": text, "n": count})


def _ms(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
