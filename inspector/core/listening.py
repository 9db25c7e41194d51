"""Where the line's servers listen."""

import socket


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; the host may be a name, or an address of IPv4 or IPv6.

    Raises:
        OSError: it cannot listen there; ``strerror`` says why.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        # Python adds the address to some of these texts, which whoever asked knows already.
        raise OSError(error.errno, str(error.strerror).partition(" (while")[0]) from error
