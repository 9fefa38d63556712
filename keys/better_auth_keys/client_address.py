"""Client addresses: normalize them, and find the network that a limit counts."""

from ipaddress import IPv6Address, IPv6Network


def normalized_address(host: str) -> str:
    """Return an address in its canonical form, and anything else unchanged.

    An IPv4-mapped IPv6 address becomes the IPv4 address. The zone id of a link-local address is
    removed, because it names an interface of this machine.
    """
    if ":" not in host:
        return host
    try:
        address = IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    return str(address.ipv4_mapped or address)


def counted_address(address: str, ipv6_prefix: int = 64) -> str:
    """Return what a limit counts a normalized address as.

    An IPv6 client usually has a whole /64 and can send each request from another address in it.
    IPv6 addresses are therefore counted by their network of `ipv6_prefix` bits.
    """
    if ":" not in address:
        return address
    try:
        return str(IPv6Network((address, ipv6_prefix), strict=False))
    except ValueError:
        return address
