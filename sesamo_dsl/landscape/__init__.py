"""The action as a function of configurations: minima, widths, vacua, directions of infinite Z."""
