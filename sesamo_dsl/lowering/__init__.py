"""From symbols to the intermediate program; the only room besides `stages` that knows both SymPy and `ir`."""
