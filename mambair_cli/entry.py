"""Where the program starts: so small that an interruption finds it ready."""

import os
import signal

INTERRUPTED = 130
STANDARD_STREAMS = 3


def fill_closed_streams() -> None:
    """Give the descriptors of closed standard streams to the null device.

    The next files to be opened would get them, and would take what libraries print for standard error.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < STANDARD_STREAMS:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def main() -> None:
    """Run the application; until a command takes over, an interruption just ends it: there is nothing to clean up."""
    fill_closed_streams()
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
    from .app import app

    app()


if __name__ == "__main__":
    main()
