"""Studies for programs: the same calls over REST and gRPC, each with a key."""
