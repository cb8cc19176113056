"""One way to prove that it is you in each file."""
