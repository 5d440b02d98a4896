"""Translation of SymPy expressions to programs; only this room and `stages` know both SymPy and `ir`."""
