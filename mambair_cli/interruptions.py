"""The signals by which users and systems end a run."""

import signal

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Ctrl-C, a polite request, and a terminal or connection that closed; Windows has no SIGHUP."""
