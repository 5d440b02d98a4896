"""The action as a function of configurations: its minima, widths and vacua, and directions of infinite Z."""
