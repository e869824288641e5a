"""Loaded by every Python process that the tests start: only this machine can be reached."""

import ipaddress
import socket


def _local(host):
    if not isinstance(host, str) or host in ("", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
        return address.is_loopback or _own(address)
    except ValueError:
        return host == socket.gethostname()


def _own(address):
    """Whether it is an address of this machine: one can only listen on one's own."""
    with socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
        return True


def _refuse(host):
    if not _local(host):
        raise OSError(f"the tests are offline: refused to reach {host}")


def _guard(function):
    def guarded(self, address, *rest):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _refuse(address[0])
        return function(self, address, *rest)

    return guarded


_getaddrinfo = socket.getaddrinfo


def getaddrinfo(host, *rest, **options):
    _refuse(host.decode() if isinstance(host, bytes) else host)
    return _getaddrinfo(host, *rest, **options)


socket.socket.connect = _guard(socket.socket.connect)
socket.socket.connect_ex = _guard(socket.socket.connect_ex)
socket.getaddrinfo = getaddrinfo
