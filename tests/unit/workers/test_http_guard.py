"""Which hosts and addresses an HTTP step may reach."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_py.workers.steps.http_guard import (
    AllowedHost,
    HostRefused,
    check_addresses,
    check_host,
    normal_host,
    read_allowed,
    why_not_public,
)

NOBODY: frozenset[AllowedHost] = frozenset()


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001:830::200e"),
        *("::ffff:8.8.8.8", "2002:808:808::1", "64:ff9b::808:808"),
    ],
)
def test_addresses_of_the_public_internet_may_be_reached(address: str) -> None:
    assert why_not_public(ipaddress.ip_address(address)) is None


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.0.9", "loopback"),
        ("10.1.2.3", "private"),
        ("172.16.0.1", "private"),
        ("192.168.1.1", "private"),
        ("169.254.169.254", "link-local"),
        ("100.64.0.1", "reserved"),
        ("100.100.100.200", "reserved"),
        ("168.63.129.16", "special use"),
        ("0.0.0.0", "unspecified"),
        ("224.0.0.251", "multicast"),
        ("239.255.255.250", "multicast"),
        ("192.0.2.1", "private"),
        ("198.18.0.1", "private"),
        ("192.88.99.1", "special use"),
        ("240.0.0.1", "private"),
        ("255.255.255.255", "private"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fc00::1", "private"),
        ("fd00:ec2::254", "private"),
        ("fec0::1", "reserved"),
        ("ff02::1", "multicast"),
        ("2001:db8::1", "private"),
        ("3fff::1", "special use"),
        ("::7f00:1", "reserved"),
        ("::ffff:127.0.0.1", "another spelling of 127.0.0.1, a loopback"),
        ("::ffff:169.254.169.254", "another spelling of 169.254.169.254, a link-local"),
        ("::ffff:0:10.0.0.1", "reserved"),
        ("2002:7f00:1::", "another spelling of 127.0.0.1, a loopback"),
        ("2002:c0a8:101::1", "another spelling of 192.168.1.1, a private"),
        ("64:ff9b::a00:1", "another spelling of 10.0.0.1, a private"),
        ("64:ff9b:1::a9fe:a9fe", "reserved"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "special use"),
        ("5f00::1", "reserved"),
    ],
)
def test_any_other_address_may_not(address: str, kind: str) -> None:
    """Nor one that leads to it in the end, whatever it looks like."""
    reason = why_not_public(ipaddress.ip_address(address))

    assert reason is not None
    assert kind in reason


@given(st.ip_addresses(v=4))
def test_another_spelling_of_an_address_is_as_good_as_the_address(address: ipaddress.IPv4Address) -> None:
    is_public = why_not_public(address) is None
    number = int(address)
    spellings = [0xFFFF << 32 | number, 0x2002 << 112 | number << 80, 0x64_FF9B << 96 | number]

    assert [is_public] * 3 == [why_not_public(ipaddress.IPv6Address(spelling)) is None for spelling in spellings]


def test_one_address_that_is_not_public_refuses_the_host() -> None:
    """Otherwise the order of the answers would decide."""
    with pytest.raises(HostRefused, match=r"a\.test is at 10\.0\.0\.1, which is a private address"):
        check_addresses("a.test", ["8.8.8.8", "10.0.0.1"], NOBODY)

    check_addresses("a.test", ["8.8.8.8", "1.1.1.1"], NOBODY)


def test_a_list_means_what_it_names() -> None:
    """Private hosts on it may be reached, public ones that are not on it may not."""
    allowed = read_allowed(["Db.Internal:8080", " api.example ", "[::1]:90", "10.0.0.1"])
    for host, port in [("db.internal", 8080), ("api.example", 80), ("api.example", 9), ("::1", 90), ("10.0.0.1", 1)]:
        check_host(host, port, allowed)
    check_addresses("db.internal", ["10.0.0.7"], allowed)

    for host, port in [
        ("db.internal", 80),
        ("www.api.example", 80),
        ("::1", 91),
        ("example.com", 443),
        ("10.0.0.2", 1),
    ]:
        with pytest.raises(HostRefused, match="is not among the hosts that MAESTRO_HTTP_ALLOW names"):
            check_host(host, port, allowed)


def test_without_a_list_any_name_may_be_asked_for() -> None:
    check_host("example.com", 443, NOBODY)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("EXAMPLE.com.", "example.com"),
        ("[0:0::1]", "::1"),
        ("FE80::A", "fe80::a"),
        ("a_b-c.d", "a_b-c.d"),
        ("1.2", "1.2"),
    ],
)
def test_hosts_are_compared_in_one_spelling(written: str, normal: str) -> None:
    assert normal == normal_host(written)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "a b",
        "*.example.com",
        "http://example.com",
        "a/b",
        "bücher.de",
        "h:0",
        "h:65536",
        "[::1",
        "::1:zz",
        "a..b",
        "-a",
    ],
)
def test_an_entry_that_names_no_host_is_refused(entry: str) -> None:
    with pytest.raises(ValueError):
        read_allowed([entry])
