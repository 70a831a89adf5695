"""The two ways to a server: gRPC and REST."""
