"""Giving a certificate to an SSL context from memory, so that what was checked is what is served."""

import os
import ssl


def load_pair(context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
    """Load a PEM chain and its PEM key into `context`, replacing what it had of the same kind of key.

    The `ssl` module reads certificates from files only; an anonymous file in memory (Linux, memfd_create(2)) avoids
    reading the operator's files a second time, when a renewal may be halfway through. Connections made earlier keep
    their certificate. Raises ssl.SSLError when OpenSSL refuses the pair, OSError when /proc or the memory file is not
    to be had.
    """
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as memory:
        memory.write(key + chain)
        memory.flush()
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
