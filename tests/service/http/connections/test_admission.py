"""How many requests are admitted, and which are refused."""

from ipaddress import ip_network

import pytest
from starlette.types import Scope

from service.http.connections.admission import PLACES_FOR_PROBES, Admission
from service.http.connections.overload import OverloadedError
from service.http.cors import Cors
from service.http.draining import Draining
from service.http.forwarded import TrustedProxies

MOST = 30
TWO_THIRDS = 20
PROXY = "10.0.0.1"


def admission() -> Admission:
    proxies = TrustedProxies((ip_network(PROXY),))
    return Admission(MOST, most_running=MOST, proxies=proxies, cors=Cors(()), draining=Draining(0))


def scope(address: str, path: str = "/api/tasks", **headers: str) -> Scope:
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"client": (address, 1), "method": "GET", "path": path, "headers": fields}


def admitted(of: Admission, address: str, tries: int = 2 * MOST) -> list[Scope]:
    """Send requests from an address, and return those that were admitted."""
    return [asked for asked in (scope(address) for _ in range(tries)) if of.admit(asked)]


def test_one_address_gets_two_thirds_of_the_places() -> None:
    assert len(admitted(admission(), "192.0.2.1")) == TWO_THIRDS


def test_fault70_busy_addresses_leave_places_for_others() -> None:
    bounded = admission()
    greedy = [len(admitted(bounded, f"192.0.2.{host}")) for host in range(1, 3)]
    assert greedy == [20, 7]
    assert bounded.admit(scope("198.51.100.1"))


def test_fault70_no_more_than_the_bound_are_in_flight() -> None:
    bounded = admission()
    got_in = [bounded.admit(scope(f"192.0.{host}.1")) for host in range(2 * MOST)]
    assert sum(got_in) == bounded.in_flight == MOST


def test_request_that_ended_makes_room() -> None:
    bounded = admission()
    mine = admitted(bounded, "192.0.2.1")
    assert not bounded.admit(scope("192.0.2.1"))
    bounded.leave(mine[0])
    assert bounded.admit(scope("192.0.2.1"))


def test_address_whose_requests_have_ended_has_its_whole_share_again() -> None:
    bounded = admission()
    for asked in admitted(bounded, "192.0.2.1"):
        bounded.leave(asked)
    assert bounded.in_flight == 0
    assert len(admitted(bounded, "192.0.2.1")) == TWO_THIRDS


def test_request_that_was_not_admitted_does_not_make_room() -> None:
    bounded = admission()
    admitted(bounded, "192.0.2.1")
    refused = scope("192.0.2.1")
    assert not bounded.admit(refused)
    bounded.leave(refused)
    assert bounded.in_flight == TWO_THIRDS


def test_addresses_of_one_ipv6_network_share_their_places() -> None:
    bounded = admission()
    got_in = [bounded.admit(scope(f"2001:db8::{host:x}")) for host in range(1, 2 * MOST)]
    assert sum(got_in) == TWO_THIRDS
    assert bounded.admit(scope("2001:db8:0:1::1"))


def test_clients_behind_a_trusted_proxy_count_by_their_own_address() -> None:
    bounded = admission()
    for host in ("192.0.2.1", "192.0.2.2"):
        assert bounded.admit(scope(PROXY, x_forwarded_for=host))
    one = [bounded.admit(scope(PROXY, x_forwarded_for="192.0.2.3")) for _ in range(2 * MOST)]
    assert not all(one)
    assert bounded.admit(scope(PROXY, x_forwarded_for="192.0.2.4"))


def test_client_behind_proxies_that_each_add_a_field_counts_by_its_own_address() -> None:
    bounded = admission()
    for host in range(1, MOST):
        asked = scope(PROXY, x_forwarded_for=f"192.0.2.{host}")
        asked["headers"].append((b"x-forwarded-for", PROXY.encode()))
        assert bounded.admit(asked)


def test_address_that_an_untrusted_client_forwards_is_ignored() -> None:
    bounded = admission()
    got_in = [
        bounded.admit(scope("192.0.2.1", x_forwarded_for=f"198.51.100.{host}"))
        for host in range(2 * MOST)
    ]
    assert sum(got_in) == TWO_THIRDS


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_fault74_probes_have_places_of_their_own(path: str) -> None:
    bounded = admission()
    for host in range(MOST):
        assert bounded.admit(scope(f"192.0.{host}.1"))
    assert not bounded.admit(scope("198.51.100.1"))
    probes = [bounded.admit(scope("198.51.100.1", path)) for _ in range(2 * PLACES_FOR_PROBES)]
    assert sum(probes) == PLACES_FOR_PROBES


def test_fault70_fault74_address_that_sends_only_probes_leaves_places_for_others() -> None:
    bounded = admission()
    mine = [scope("192.0.2.1", "/readyz") for _ in range(4 * (MOST + PLACES_FOR_PROBES))]
    mine = [asked for asked in mine if bounded.admit(asked)]
    assert len(mine) == TWO_THIRDS + PLACES_FOR_PROBES
    for asked in mine:
        bounded.leave(asked)
    assert bounded.in_flight == 0
    # What ended has left the places of probes as well.
    again = [bounded.admit(scope("192.0.2.1", "/readyz")) for _ in range(4 * len(mine))]
    assert sum(again) == len(mine)


def test_fault74_user_with_many_addresses_gets_no_more_than_their_share() -> None:
    bounded = admission()
    refused = 0
    for host in range(MOST - 1):
        assert bounded.admit(scope(f"192.0.{host}.1"))
        try:
            bounded.admit_user("alice")
        except OverloadedError:
            refused += 1
    assert refused >= MOST - 1 - TWO_THIRDS - 1
    bounded.admit_user("bob")
    bounded.leave_user("alice")
    bounded.leave_user("bob")


def running(of: Admission, address: str) -> Scope:
    """Admit a request from an address, and begin it."""
    [asked] = admitted(of, address, tries=1)
    assert of.begin(asked)
    return asked


def test_fault99_request_that_is_set_aside_makes_room_until_it_ends() -> None:
    bounded = admission()
    mine = admitted(bounded, "192.0.2.1")
    assert not bounded.admit(scope("192.0.2.1"))
    for asked in mine:
        assert bounded.begin(asked) or bounded.wait(asked, lambda: None, lambda: None)
        bounded.set_aside(asked)
    assert (bounded.in_flight, bounded.alive) == (0, TWO_THIRDS)
    assert len(admitted(bounded, "192.0.2.1")) == TWO_THIRDS
    # No address takes places that others have, whatever it waits for.
    assert bounded.admit(scope("198.51.100.1"))
    for asked in mine:
        bounded.leave(asked)
    assert (bounded.in_flight, bounded.alive) == (TWO_THIRDS + 1, TWO_THIRDS + 1)


def test_one_address_gets_two_thirds_of_the_places_aside() -> None:
    bounded = admission()
    for _ in range(TWO_THIRDS):
        bounded.set_aside(running(bounded, "192.0.2.1"))
    too_many = running(bounded, "192.0.2.1")
    with pytest.raises(OverloadedError):
        bounded.set_aside(too_many)
    bounded.set_aside(running(bounded, "198.51.100.1"))
    assert (bounded.in_flight, bounded.alive) == (1, TWO_THIRDS + 2)
    bounded.leave(too_many)
    assert bounded.in_flight == 0


def test_places_aside_are_free_again_when_their_requests_end() -> None:
    bounded = admission()
    for _ in range(2 * MOST):
        asked = running(bounded, "192.0.2.1")
        bounded.set_aside(asked)
        bounded.leave(asked)
    assert (bounded.in_flight, bounded.alive, bounded.running) == (0, 0, 0)


def test_request_is_set_aside_once_also_by_a_copy_of_its_scope() -> None:
    bounded = admission()
    asked = running(bounded, "192.0.2.1")
    for _ in range(2):
        bounded.set_aside({**asked, "method": "GET"})
    assert (bounded.in_flight, bounded.alive) == (0, 1)
    bounded.leave(asked)
    assert (bounded.in_flight, bounded.alive, bounded.running) == (0, 0, 0)


def test_request_that_was_not_counted_is_not_set_aside() -> None:
    bounded = admission()
    bounded.set_aside(scope("192.0.2.1"))
    assert (bounded.in_flight, bounded.alive) == (0, 0)
