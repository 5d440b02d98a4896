"""The derivation: an analysis written out with all formulas, for a referee.

The content is a list of lines, which a writer turns into text of one format. The modules, from the ground up:

- ``lines``: a line, in which mathematics is written in one notation for all formats;
- ``finite``, ``lie``, ``content``: the lines on the finite group, on a Lie group, and on the whole theory;
- ``writer``: the base class of formats;
- ``text``: the plain text. Formats for print are in :mod:`sesamo_dsl.report.derivation`.
"""
