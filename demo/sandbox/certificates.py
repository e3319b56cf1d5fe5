"""Makes the certificates of a TLS sandbox: the server's own, and client certificates in every form a user may have.

RavenDB authenticates by client certificate only. Its own certificate, self-signed, is also the cluster-admin client
certificate. Everything here is for localhost and lives as long as the sandbox server's folder.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PASSWORD = "sandbox-password"  # protects `protected_pfx` and `protected_pem`; a secret of nothing


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate with its private key, in the forms tools ask for. All paths lie in one folder.

    `pem`: certificate and key in one file. `certificate_pem`, `key_pem`: each alone. `pfx`: without a password.
    `protected_pfx`, `protected_pem` (certificate + encrypted key): open with `password`.
    """

    name: str
    thumbprint: str
    pem: Path
    certificate_pem: Path
    key_pem: Path
    pfx: Path
    protected_pfx: Path
    protected_pem: Path
    password: str = PASSWORD

    @property
    def certificate_base64(self) -> str:
        """The certificate alone (DER, base64), as RavenDB's `PUT /admin/certificates` wants it."""
        certificate = x509.load_pem_x509_certificate(self.certificate_pem.read_bytes())
        return base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()


def make_certificate(folder: Path, name: str, *, server: bool = False, names: Sequence[str] = ()) -> Certificate:
    """Make a self-signed certificate `name` in `folder`, or read back the one made there before.

    With `server` it carries the names localhost and 127.0.0.1, and `names`, and may act as server and client, else as client
    only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key_pem = folder / f"{name}.key.pem"
    certificate_pem = folder / f"{name}.crt.pem"
    if certificate_pem.is_file():
        certificate = x509.load_pem_x509_certificate(certificate_pem.read_bytes())
    else:
        certificate = _write_files(folder, name, server, names)
    return Certificate(
        name=name,
        thumbprint=certificate.fingerprint(hashes.SHA1()).hex().upper(),
        pem=folder / f"{name}.pem",
        certificate_pem=certificate_pem,
        key_pem=key_pem,
        pfx=folder / f"{name}.pfx",
        protected_pfx=folder / f"{name}.protected.pfx",
        protected_pem=folder / f"{name}.protected.pem",
    )


def _write_files(folder: Path, name: str, server: bool, names: Sequence[str]) -> x509.Certificate:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    certificate = _self_signed(key, name, server, names)
    plain = serialization.NoEncryption()
    protected = serialization.BestAvailableEncryption(PASSWORD.encode())
    certificate_bytes = certificate.public_bytes(serialization.Encoding.PEM)

    def key_bytes(encryption: serialization.KeySerializationEncryption) -> bytes:
        return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)

    def pfx_bytes(encryption: serialization.KeySerializationEncryption) -> bytes:
        return pkcs12.serialize_key_and_certificates(name.encode(), key, certificate, None, encryption)

    files = {
        "key.pem": key_bytes(plain),
        "pem": certificate_bytes + key_bytes(plain),
        "protected.pem": certificate_bytes + key_bytes(protected),
        "pfx": pfx_bytes(plain),
        "protected.pfx": pfx_bytes(protected),
        "crt.pem": certificate_bytes,  # last: its presence says that all are there
    }
    for suffix, content in files.items():
        path = folder / f"{name}.{suffix}"
        path.touch(mode=0o600)
        path.write_bytes(content)
    return certificate


def _self_signed(key: rsa.RSAPrivateKey, name: str, server: bool, more: Sequence[str]) -> x509.Certificate:
    # OpenSSL looks for a certificate to trust by its subject, so two in one file must not share it.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, [*more, "localhost"][0] if server else name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    usages = [ExtendedKeyUsageOID.SERVER_AUTH] if server else []
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([*usages, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if server:
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *map(x509.DNSName, more)]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256())


def _key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
