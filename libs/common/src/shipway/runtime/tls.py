"""TLS as settings name it: whom to trust, and which certificate to show."""

import ssl
from pathlib import Path

from shipway.contract.errors import InvalidField


def tls_context(
    where: str, *, ca_file: str = "", cert_file: str = "", key_file: str = "", verify: bool = True
) -> ssl.SSLContext:
    """A client's context; without ``ca_file`` the system's authorities are trusted.

    Args:
        where: the settings' section, such as KAFKA, for the message.
        ca_file: authorities, PEM.
        cert_file: the certificate to show (mutual TLS), PEM; may hold the key too.
        key_file: its key, PEM, without a passphrase.
        verify: False to take any certificate and any host name: encrypted, but from anybody.

    Raises:
        InvalidField: a file is missing or is not PEM; names the setting.
    """
    for name, file in (("CA_FILE", ca_file), ("CERT_FILE", cert_file), ("KEY_FILE", key_file)):
        if file and not Path(file).is_file():
            raise InvalidField(f"{where}__{name}", f"{file} is not a file")
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except ssl.SSLError as err:
        raise InvalidField(f"{where}__CA_FILE", f"{ca_file} holds no certificates in PEM: {err}") from err
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert_file:
        try:
            context.load_cert_chain(cert_file, key_file or None, password=lambda: "")
        except ssl.SSLError as err:
            message = f"{cert_file} and {key_file or 'itself'} are not a certificate and its key without a passphrase"
            raise InvalidField(f"{where}__CERT_FILE", f"{message}: {err}") from err
    return context
