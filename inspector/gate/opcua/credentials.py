"""The line's certificate and the clients it lets in, from files."""

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)

from inspector.config.gates import OpcUaGateSettings
from inspector.core.errors import GateError


@dataclass(frozen=True, slots=True)
class Credentials:
    """All in DER: our certificate, its private key, and the certificates of trusted clients."""

    certificate: bytes
    private_key: bytes
    trusted: frozenset[bytes]


def load_credentials(settings: OpcUaGateSettings) -> Credentials | None:
    """What the settings name; None where the line speaks without security.

    Raises:
        GateError: a file cannot be read or holds something else; the message names it.
    """
    if (
        settings.certificate is None
        or settings.private_key is None
        or settings.trusted_clients is None
    ):
        return None
    folder = settings.trusted_clients
    files = sorted(path for path in folder.glob("*") if path.suffix in {".der", ".pem", ".crt"})
    if not files:
        raise GateError(
            f"{folder} holds no client's certificate (.der, .pem or .crt)",
            "put the PLC's certificate there: nobody else is let in",
        )
    return Credentials(
        certificate=_certificate(settings.certificate),
        private_key=_private_key(settings.private_key),
        trusted=frozenset(_certificate(path) for path in files),
    )


def _certificate(path: Path) -> bytes:
    content = _read(path)
    try:
        load = (
            x509.load_pem_x509_certificate if _is_pem(content) else x509.load_der_x509_certificate
        )
        return load(content).public_bytes(Encoding.DER)
    except ValueError as error:
        raise GateError(f"{path} holds no certificate", "export it anew as DER or PEM") from error


def _private_key(path: Path) -> bytes:
    content = _read(path)
    try:
        load = load_pem_private_key if _is_pem(content) else load_der_private_key
        key = load(content, password=None)
    except (ValueError, TypeError) as error:
        raise GateError(
            f"{path} holds no private key without a password", "export it anew as DER or PEM"
        ) from error
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise GateError(
            f"{path} cannot be read: {error.strerror}", "correct the gate's paths in line.yaml"
        ) from error


def _is_pem(content: bytes) -> bool:
    return content.lstrip().startswith(b"-----BEGIN")
