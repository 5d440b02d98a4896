"""Results on the screen: figures, warnings, tables, and pictures and arrays in files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import typer

from ..estimates.chains import Chain
from ..estimates.estimate import Estimate
from ..estimates.reported import Reported
from ..estimates.samples import Samples
from ..estimates.weighted import observable_names
from ..machine.files import write_bytes
from .application import FAILED


def print_report(
    samples: Samples, plot: Path | None, chain: Chain | None = None, *, control: bool = False
) -> None:
    """Print figures, observables and warnings, beside those of a chain if there is one, and draw samples."""
    typer.echo(samples.text())
    warnings = samples.warnings
    if chain is None:
        for name in observable_names(samples.program):
            typer.echo(f"{f'⟨{name}⟩':<18} {samples.expect(name)}")
        for name in samples.declared:
            typer.echo(f"{name:<18} {samples.derived(name)}")
    else:
        typer.echo(f"\nindependence Metropolis, {len(chain)} steps, acceptance {chain.acceptance:.4f}")
        typer.echo(comparison_text(samples, chain))
        for warning in chain.warnings:
            typer.echo(f"WARNING: {warning}")
        warnings += chain.warnings
    if control:
        typer.echo("\nwith Schwinger–Dyson identities as control variates")
        for name in ("action", *observable_names(samples.program)):
            typer.echo(f"{f'⟨{name}⟩':<18} {(chain or samples).expect(name, control=True)}")
    draw(samples, plot)
    print_warnings(warnings)


def residuals_text(samples: Samples) -> str:
    """The table of Schwinger–Dyson identities, or why there are none."""
    if samples.identities.obstacle:
        return f"⟨Δf − ∇f·∇S⟩       no identities: {samples.identities.obstacle}"
    return samples.residuals.text(heading="⟨Δf − ∇f·∇S⟩ = 0")


def comparison_text(samples: Samples, chain: Chain) -> str:
    """Reweighted means beside those of the chain."""
    rows = {
        f"⟨{name}⟩": (samples.expect(name), chain.expect(name))
        for name in ("action", *observable_names(samples.program))
    }
    rows |= {name: (samples.derived(name), chain.derived(name)) for name in samples.declared}
    rows["virial ⟨x·∇S⟩/n"] = (samples.virial, chain.virial)
    if len(samples.sector_masses) > 1:
        masses = map(Estimate, samples.sector_masses.tolist(), samples.sector_errors.tolist())
        pairs = list(zip(masses, chain.sector_masses, strict=True))
        rows |= {f"sector {u}": pair for u, pair in enumerate(pairs[:16])}
    lines = [f"{'':<18} {'reweighted':<24} Metropolis"]
    return "\n".join([*lines, *(f"{name:<18} {a!s:<24} {b}" for name, (a, b) in rows.items())])


def draw(samples: Samples, plot: Path | None) -> None:
    """Draw the samples, if a picture is wanted."""
    if plot is not None:
        from ..report import samples_picture, save  # matplotlib takes a second to import

        save(samples_picture(samples), plot)
        typer.echo(f"picture            {plot}")


def write_page(result: Reported, page: Path | None) -> None:
    """Write the page of a result, if one is wanted."""
    if page is not None:
        result.report(page)
        typer.echo(f"report             {page}")


def print_warnings(warnings: tuple[str, ...]) -> None:
    """The last line on the screen says that the figures above it are not to be believed."""
    if warnings:
        names = ", ".join(dict.fromkeys(warning.partition(":")[0] for warning in warnings))
        typer.secho(f"{len(warnings)} WARNING(S), see above: {names}", fg="yellow", bold=True, err=True)


def require_finite(samples: Samples) -> None:
    """End with the exit code of a failed check if figures are NaN or infinite."""
    if not samples.is_finite:
        raise typer.Exit(FAILED)


def save_arrays(output: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays to an .npz file, which exists as a whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    write_bytes(output, buffer.getvalue())
