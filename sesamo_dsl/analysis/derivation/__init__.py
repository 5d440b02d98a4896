"""The derivation of an analysis for a referee: what it says, before any format, and its plain text.

One list of lines says what there is to say, and a writer how it looks. From the ground up:

- ``lines``: a line, in which mathematics is written in one notation for all formats;
- ``finite``, ``lie``, ``content``: what is said of the finite group, of the Lie groups, and of everything;
- ``writer``: what a format is;
- ``text``: the plain text. Formats for print are in :mod:`sesamo_dsl.report.derivation`.
"""
