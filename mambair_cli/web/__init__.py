"""The page of ``mambair ui``, and the HTTP interface beside it."""
