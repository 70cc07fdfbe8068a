"""Turns the files of a TLS configuration into a context; used by the groups that offer TLS."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.settings.problems import Problem


@dataclass(frozen=True, slots=True)
class TlsFile:
    """A PEM file and the name of the variable that it comes from."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Tls:
    """What a TLS client needs. Without a `ca` the system's authorities count."""

    ca: TlsFile | None = None
    certificate: TlsFile | None = None
    key: TlsFile | None = None
    key_password: str = ""
    verify_certificate: bool = True
    verify_host: bool = True

    def context(self) -> ssl.SSLContext:
        """A client's context. Raises `OSError` or `ssl.SSLError` when a file cannot be used."""
        context = ssl.create_default_context(cafile=self.ca.path if self.ca else None)
        context.check_hostname = self.verify_certificate and self.verify_host
        context.verify_mode = ssl.CERT_REQUIRED if self.verify_certificate else ssl.CERT_NONE
        if self.certificate:
            key = self.key.path if self.key else None
            # A password is always given, an empty one too: OpenSSL asks the terminal otherwise.
            context.load_cert_chain(self.certificate.path, key, lambda: self.key_password)
        return context

    def problems(self) -> Iterator[Problem]:
        """What keeps `context` from working, by the variable that is to blame."""
        files = [file for file in (self.ca, self.certificate, self.key) if file]
        unreadable = [problem for file in files for problem in _unreadable(file)]
        yield from unreadable
        if self.key and not self.certificate:
            yield Problem(self.key.name, "needs a certificate beside the key")
        elif files and not unreadable:
            yield from self._unusable(files)

    def _unusable(self, files: list[TlsFile]) -> Iterator[Problem]:
        try:
            self.context()
        except (OSError, ValueError):
            names = ", ".join(file.name for file in files)
            yield Problem(names, "cannot be used: not PEM, a key of another certificate, or a wrong password")


def _unreadable(file: TlsFile) -> Iterator[Problem]:
    try:
        with Path(file.path).open("rb"):
            return
    except OSError as error:
        yield Problem(file.name, f"names a file that cannot be read ({os.strerror(error.errno or 0)})")
