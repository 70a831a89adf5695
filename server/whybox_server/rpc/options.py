"""The options of the gRPC server that no caller sees in the contract: its limits, and how often clients may ping."""

from whybox_server.monitoring.open_files import connection_shares

# Clients keep connections alive through NATs and proxies with pings. Go's shortest interval is 10 s; half of it leaves
# room for pings that arrive unevenly. A client that pings more often is disconnected after two warnings.
_MIN_PING_MS = 5_000
_HANDSHAKE_MS = 10_000

MAX_METADATA_BYTES = 8 * 2**10
"""Metadata of a call; more is refused."""

# What is read, so that the server refuses what is too large in its own words; beyond, gRPC does.
_READ_METADATA_BYTES = 8 * MAX_METADATA_BYTES
_READ_MESSAGES = 2


def server_options(max_message_bytes: int, keep_alive: int) -> list[tuple[str, int]]:
    """The options of the server's connections.

    Args:
        max_message_bytes: Largest request that is accepted; twice that is read.
        keep_alive: Seconds that a connection without a call stays open.
    """
    return [
        ("grpc.max_receive_message_length", _READ_MESSAGES * max_message_bytes),
        # The gateway makes no message that is larger than its caller takes.
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", _READ_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _READ_METADATA_BYTES),
        ("grpc.max_allowed_incoming_connections", connection_shares().grpc),
        ("grpc.max_connection_idle_ms", 1000 * keep_alive),
        # A connection that does not begin to speak HTTP/2 is closed.
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        # Without this a second server on the same port would take half of the calls instead of failing to start.
        ("grpc.so_reuseport", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", _MIN_PING_MS),
        # Pings also on connections without a call: otherwise two within two hours count as too many.
        ("grpc.keepalive_permit_without_calls", 1),
    ]
