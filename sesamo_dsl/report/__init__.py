"""Derivations in LaTeX and HTML, and pictures of domains, groups, samples, training and annealing."""

from .annealing import annealing_picture as annealing_picture
from .cayley import cayley_picture as cayley_picture
from .derivation import derivation as derivation
from .domains import domain_picture as domain_picture
from .pictures import comparison_picture as comparison_picture
from .pictures import samples_picture as samples_picture
from .pictures import save as save
from .plots import training_picture as training_picture
