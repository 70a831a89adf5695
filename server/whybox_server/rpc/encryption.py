"""TLS over gRPC: with the files of the server's certificate as they are when a connection begins."""

import grpc

from whybox_server.access.certificates import Certificates, Identity


def server_credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """Credentials for a port of a server: TLS 1.2 at least, which is gRPC's own bound."""
    used = certificates.current()

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        # gRPC calls this in a thread of its own for each connection, one at a time; None changes nothing.
        nonlocal used
        if (now := certificates.current()) is used:
            return None
        used = now
        return _configuration(now)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(used),
        renewed,  # type: ignore[arg-type] # the stub forgets that None is allowed
        require_client_authentication=used.client_ca is not None,
    )


def _configuration(identity: Identity) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(identity.key, identity.certificate)], identity.client_ca)
