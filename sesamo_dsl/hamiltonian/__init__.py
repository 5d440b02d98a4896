"""Hamiltonian Monte Carlo on either backend: ``sd.hmc``.

=============  ======================================================================================
module         what it holds
=============  ======================================================================================
options        what was asked for
adaptation     the step size, by dual averaging
kernel         many trajectories with the moves after them, compiled as one
driver         ``hmc``: where chains start, and the loop over blocks of trajectories
=============  ======================================================================================
"""

from .driver import hmc as hmc
