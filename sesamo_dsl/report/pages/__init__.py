"""Reports: one HTML page about a run, an annealing, Markov chains or a comparison, which needs no network.

The modules, from the ground up:

- ``wording``: numbers, measured values and names of operators as a page writes them;
- ``blocks``: what a page consists of; ``render`` and ``page.html.jinja`` make HTML of it;
- ``drawing``: pictures of matplotlib as SVG within the page;
- ``group_pictures``, ``sample_pictures``: what is drawn of a group, and of samples and trainings;
- ``formulas``, ``theory``, ``checklist``, ``quantities``, ``provenance``: the parts that pages share;
- ``run``, ``untrained``, ``compared``: the pages;
- ``write``: the page of any result, written to a file.
"""

from .write import write_report as write_report
