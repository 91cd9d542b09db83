"""The parts of the screens: each shows one thing of a frame."""
