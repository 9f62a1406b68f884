"""The real agent programs, end to end through `qd`, against model servers of our own (`make test-real`)."""
