"""May a name without an account have one? One way to answer in each file."""
