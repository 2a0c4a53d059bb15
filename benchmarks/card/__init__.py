"""Trains the models that ship within minutes of a graphics card, data and degradations on the card.

See :mod:`benchmarks.card.__main__` for the command. It needs torch, NumPy, Pillow and the packages
``mambair_kernels`` and ``mambair_archs`` on the path, nothing else: machines with a card that are lent for minutes have
little more.
"""
