"""Analyses that go on without their caller: google.longrunning.Operations, over gRPC and REST."""
