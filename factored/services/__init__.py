"""Decisions: log in, throttle, enrol, unlock, revoke; no HTTP and no SQL here."""
