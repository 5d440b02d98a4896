"""The stages of the compiler, in their order.

====================  ==============================  ==========================================
stage                 in                              out
====================  ==============================  ==========================================
``analyse``           Theory                          Analysis: verdicts, split, domain
``lower_theory``      Analysis                        Program: typed SSA, no SymPy
``backend.emit``      Program                         source text of a module
``cache.load_source`` source text                     the imported module
``DerivedProgram``    Theory, backend                 all of the above together
====================  ==============================  ==========================================

Everything up to the source text is independent of the backend, frozen and printable.
"""
