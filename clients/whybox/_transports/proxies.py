"""Which servers are this machine, and which are reached without the proxy that the environment names."""

import ipaddress
import os
from urllib.request import proxy_bypass


def is_direct(host: str) -> bool:
    """Whether a connection to a host goes past every proxy: loopback always does, and what `no_proxy` lists.

    Args:
        host: Name or address without port and brackets. `no_proxy` and `NO_PROXY` list names with all their subdomains,
            addresses, networks such as 10.0.0.0/8, or * for every host.
    """
    if is_loopback(host):
        return True
    address = _address(host)
    if address is None:
        return bool(proxy_bypass(host.lower().rstrip(".")))
    return _is_listed(address) or bool(proxy_bypass(host))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: what is sent to it crosses no network.

    Args:
        host: Name or address without port and brackets.
    """
    address = _address(host)
    if address is None:
        name = host.lower().rstrip(".")
        return name == "localhost" or name.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(host: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    # ::ffff:127.0.0.1 is 127.0.0.1 as IPv6 writes it.
    return (address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None) or address


def _is_listed(address: _Address) -> bool:
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    for entry in listed.split(","):
        try:
            if address in ipaddress.ip_network(entry.strip().strip("[]"), strict=False):
                return True
        except ValueError:
            continue  # a name
    return False
