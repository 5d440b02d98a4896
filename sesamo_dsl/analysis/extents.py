"""Notes on axes so short that a shift along them leads back to the same site or the same neighbour."""

from __future__ import annotations

from ..language.theory import Theory
from ..symbols.fields import FieldComponent


def extent_notes(theory: Theory) -> list[str]:
    """One sentence for each axis along which a site has a bond to itself, or two to the same neighbour."""
    fields = theory.action.atoms(FieldComponent)
    notes = []
    for mu, extent in enumerate(theory.lattice.shape):
        if mu in theory.wound_axes:
            sites = "one site" if extent == 1 else f"{extent} sites"
            notes.append(
                f"axis {mu} has {sites}: a shift along it by {extent} leads back to the same site, so that a "
                "bond counts as a mass term"
            )
        if extent == 2 and any(field.offset[mu] for field in fields):
            notes.append(
                f"axis {mu} has two sites: x + e{mu} and x − e{mu} are the same one, so that a sum over "
                "sites counts the bond between them twice"
            )
    return notes
