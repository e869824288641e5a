"""Loaded by every Python process that the tests start: only this machine can be reached."""

import ipaddress
import socket


def _local(host):
    if not isinstance(host, str) or host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == socket.gethostname()


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
