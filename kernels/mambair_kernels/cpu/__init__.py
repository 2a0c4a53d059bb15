"""The native CPU backend: the library's loader, and one module per operation with its arguments and gradients."""
