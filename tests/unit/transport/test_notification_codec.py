"""Addresses survive the way through notifications, none of which is longer than the server takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from maestro_py.ports.notifications import PAYLOAD_LIMIT_BYTES, Notification
from maestro_py.ports.transport import Address, HintKind
from maestro_py.transport.postgres import decode, encode

keys = st.text(st.characters(codec="utf-8", exclude_characters="\n\0"), max_size=1_500)
addresses = st.builds(Address, st.sampled_from(HintKind), keys)


@given(st.sets(addresses, max_size=40))
def test_what_is_sent_is_what_is_heard(sent: set[Address]) -> None:
    notifications = list(encode(sent))

    assert sent == {address for notification in notifications for address in decode(notification)}
    assert all(len(n.payload.encode()) <= PAYLOAD_LIMIT_BYTES for n in notifications)


def test_all_partitions_are_one_notification() -> None:
    sent = [Address(HintKind.ENGINE, str(number)) for number in range(64)]

    assert 1 == len(list(encode(sent)))


def test_a_channel_of_a_newer_version_is_ignored() -> None:
    assert [] == list(decode(Notification("maestro_moon", "1")))
