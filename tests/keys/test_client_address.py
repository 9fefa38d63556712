import pytest

from better_auth_keys import counted_address, normalized_address


@pytest.mark.parametrize(
    ("host", "normal", "counted"),
    [
        ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("2001:DB8::1", "2001:db8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::1", "fe80::/64"),
        ("unix:", "unix:", "unix:"),
        ("testclient", "testclient", "testclient"),
    ],
)
def test_addresses_are_normalized_and_ipv6_is_counted_by_network(
    host: str, normal: str, counted: str
) -> None:
    assert normalized_address(host) == normal
    assert counted_address(normal) == counted
