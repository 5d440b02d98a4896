"""The declaration of a theory: fields, action, observables and symmetries, in Python or in a file."""
