"""What a physicist declares: the theory, its action, observables and symmetries, from Python or a file."""
