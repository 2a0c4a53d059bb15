"""Where the program starts: so small that an interruption finds it ready."""

import os
import signal

INTERRUPTED = 130


def main() -> None:
    """Run the application; until a command takes over, an interruption just ends it: there is nothing to clean up."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
    from .app import app

    app()


if __name__ == "__main__":
    main()
