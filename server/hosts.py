"""Names of hosts, as the settings allow them."""

import ipaddress

ANY = "*"


def is_loopback(host: str) -> bool:
    """Whether a name or an address (IPv6 with or without brackets) is this machine's own."""
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return host == "localhost"
