"""Names of hosts in the settings."""

import ipaddress

ANY = "*"


def is_loopback(host: str) -> bool:
    """Returns whether a name or an address (IPv6 with or without brackets) is a loopback one."""
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return host == "localhost"
