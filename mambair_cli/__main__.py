"""``python -m mambair_cli``, which torchrun needs."""

from .entry import main

if __name__ == "__main__":
    main()
