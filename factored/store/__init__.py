"""Where users, authenticators, attempts and revocations live."""
