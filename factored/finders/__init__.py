"""May a name without an account have one? No finder is in this release yet."""
