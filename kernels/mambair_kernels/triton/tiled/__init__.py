"""The kernels that came first, kept as backend ``triton_tiled`` until a card has timed them beside the new ones.

A program owns a block of channels and works through its steps one state after another, in tiles of (steps, channels)
whose recurrence is an associative scan; what is carried from tile to tile goes through memory.
"""
