"""
Say which hosts and addresses an HTTP step may reach.  Pure: names are resolved elsewhere.

Without a list of allowed hosts, public addresses may be reached and nothing else.  With one, exactly what it names.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAME: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_WITH_PORT: Final = re.compile(r"(.*?):([0-9]+)")
_LAST_PORT: Final = 65_535
_LONGEST_NAME: Final = 253

#: Where addresses of the public internet are; all other IPv6 is for special use.
_IPV6_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
#: 32 bits of an IPv4 address follow.
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_KINDS: Final = {
    "is_unspecified": "the unspecified address",
    "is_loopback": "a loopback address",
    "is_multicast": "a multicast address",
    "is_link_local": "a link-local address",
    "is_private": "a private address",
}
#: What Python, in some of the versions that we run on, takes for public.
_NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.88.99.0/24",  # relays of 6to4
        "168.63.129.16/32",  # what virtual machines of one cloud ask for their own secrets
        "2001::/32",  # Teredo, which embeds an IPv4 address, and is obsolete
        "3fff::/20",  # for documentation
    )
)


class HostRefused(Exception):
    """The step may not reach the host or address; the text says why.  No retry will change that."""


class AllowedHost(NamedTuple):
    """A host that steps may reach, on one port or (None) on all."""

    host: str  #: As `normal_host` spells it.
    port: int | None


def normal_host(host: str) -> str:
    """
    Return a host as it is compared: in lower case, without a final dot, IPv6 in its short spelling.

    Raises:
        ValueError: it is none; an internationalised name is to be given in its ``xn--`` form.
    """
    name = host.lower()
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    if ":" in name and "%" not in name:
        return str(ipaddress.IPv6Address(name))
    name = name.removesuffix(".")
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise ValueError(f"{host!r} is no name of a host")
    return name


def read_allowed(entries: Iterable[str]) -> frozenset[AllowedHost]:
    """
    Return the hosts that *entries*, each ``host`` or ``host:port``, name.

    Raises:
        ValueError: an entry is neither.
    """
    return frozenset(_read_entry(entry.strip()) for entry in entries)


def check_host(host: str, port: int, allowed: frozenset[AllowedHost]) -> None:
    """
    Refuse a host, as `normal_host` spells it, that the list of allowed ones does not name; an empty list names all.

    Raises:
        HostRefused: it is not named.
    """
    if allowed and not {AllowedHost(host, None), AllowedHost(host, port)} & allowed:
        raise HostRefused(f"{spell_host(host)}:{port} is not among the hosts that MAESTRO_HTTP_ALLOW names")


def check_addresses(host: str, addresses: Iterable[str], allowed: frozenset[AllowedHost]) -> None:
    """
    Refuse a host one of whose *addresses* is not public, unless a list has allowed the host.

    Raises:
        HostRefused: with the address.
    """
    if allowed:
        return  # whoever wrote the list trusts the names on it
    for text in addresses:
        reason = why_not_public(ipaddress.ip_address(text))
        if reason is not None:
            shown = text if text == host else f"{spell_host(host)} is at {text}, which"
            raise HostRefused(
                f"{shown} is {reason}; MAESTRO_HTTP_ALLOW can name hosts that may be reached all the same"
            )


def why_not_public(address: Address) -> str | None:
    """Return what kind of special address *address* is, None if it is one of the public internet."""
    inner = _embedded(address)
    if inner is not None:
        reason = why_not_public(inner)
        return None if reason is None else f"another spelling of {inner}, {reason}"
    if any(address in network for network in _NOT_PUBLIC):
        return "an address for special use"
    for attribute, kind in _KINDS.items():
        if getattr(address, attribute):
            return kind
    if not address.is_global or (address.version == 6 and address not in _IPV6_UNICAST):
        return "a reserved address"
    return None


def spell_host(host: str) -> str:
    """Return a host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address to which packets for an IPv6 address go in the end, if there is one."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


def _read_entry(entry: str) -> AllowedHost:
    host, port = entry, None
    # An IPv6 address has a port only behind its brackets.
    if (entry.count(":") <= 1 or "]" in entry) and (match := _WITH_PORT.fullmatch(entry)):
        host, port = match[1], int(match[2])
        if not 0 < port <= _LAST_PORT:
            raise ValueError(f"{entry!r}: a port is from 1 to {_LAST_PORT}")
    return AllowedHost(normal_host(host), port)
