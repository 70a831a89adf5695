"""What operators are told: metrics and readiness."""
