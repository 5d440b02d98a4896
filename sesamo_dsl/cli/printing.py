"""Results on the screen: figures, warnings, tables, and pictures and arrays in files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import typer

from ..annealing.result import Annealed
from ..estimates.chains import Chain
from ..estimates.estimate import Estimate
from ..estimates.reported import Reported
from ..estimates.samples import Samples
from ..estimates.weighted import observable_names, virial_label
from ..machine.files import write_bytes
from ..runs import Run
from ..scans.result import Scan
from .application import FAILED
from .output import doing, say, tell


def print_report(
    samples: Samples, plot: Path | None, chain: Chain | None = None, *, control: bool = False
) -> None:
    """Print figures, observables and warnings, beside those of a chain if there is one, and draw samples."""
    with doing("measuring"):
        text, warnings = samples.text(), samples.warnings
    say(text)
    tell(samples=lambda: samples_record(samples))
    if chain is None:
        for name in observable_names(samples.program):
            say(f"{f'⟨{name}⟩':<18} {samples.expect(name)}")
        for name in samples.declared:
            say(f"{name:<18} {samples.derived(name)}")
    else:
        say(f"\nindependence Metropolis, {len(chain)} steps, acceptance {chain.acceptance:.4f}")
        say(comparison_text(samples, chain))
        tell(chain=lambda: chain_record(chain))
        for warning in chain.warnings:
            say(f"WARNING: {warning}")
        warnings += chain.warnings
    if control:
        say("\nwith Schwinger–Dyson identities as control variates")
        names = ("action", *observable_names(samples.program))
        controlled = {name: (chain or samples).expect(name, control=True) for name in names}
        for name, value in controlled.items():
            say(f"{f'⟨{name}⟩':<18} {value}")
        tell(with_control_variates=controlled)
    draw(samples, plot)
    print_warnings(warnings)


def print_range(run: Run) -> None:
    """Print what annealings at points of the range of a run say, if it was trained over one."""
    if run.plan.over is None:
        return
    say(f"trained over       {run.plan.over}")
    for check in run.checked:
        say(f"  {check.text}: {check.line}")
        if check.status != "covered":
            say(f"  WARNING: at {check.text}: {check.verdict}")
    tell(
        over=str(run.plan.over),
        range=[
            {
                "couplings": dict(check.couplings),
                "place": check.place,
                "ess": check.ess,
                "coverage": check.status,
                "verdict": check.verdict,
            }
            for check in run.checked
        ],
    )


def samples_record(samples: Samples) -> dict[str, Any]:
    """The figures of samples by name, for JSON."""
    sectors, coverage = samples.program.sectors, samples.coverage
    masses = {}
    if sectors.count > 1 and sectors.enumerable:
        pairs = zip(samples.sector_masses.tolist(), samples.sector_errors.tolist(), strict=True)
        masses["sector_masses"] = [Estimate(mass, error) for mass, error in pairs]
    return {
        "count": len(samples),
        "ess": samples.ess,
        "log_z": samples.log_z,
        "exact_log_z": None if samples.exact is None else samples.exact.log_z,
        "kl": samples.kl,
        "kl_is_exact": samples.kl_is_exact,
        "free_energy_bound": samples.free_energy_bound,
        "leaked_fraction": samples.leaked_fraction,
        "virial": samples.virial,
        **masses,
        "expectations": _expectations(samples),
        "coverage": None if coverage is None else {"status": coverage.status, "verdict": coverage.verdict},
        "warnings": samples.warnings,
        "notes": samples.notes,
    }


def chain_record(chain: Chain) -> dict[str, Any]:
    """The figures of Markov chains by name, for JSON."""
    return {
        "shape": chain.action.shape,
        "acceptance": chain.acceptance,
        "virial": chain.virial,
        "expectations": _expectations(chain),
        "warnings": chain.warnings,
    }


def annealing_record(annealed: Annealed) -> dict[str, Any]:
    """The figures of an annealing by name, for JSON."""
    return {
        "log_z": annealed.estimate,
        "populations": annealed.populations,
        "walkers": annealed.walkers,
        "temperatures": len(annealed.ladder),
        "reached": annealed.reached,
        "effective_samples": annealed.effective_samples,
        "virial": annealed.virial,
        "expectations": _expectations(annealed),
        "warnings": annealed.warnings,
        "notes": annealed.notes,
    }


def scan_record(scan: Scan) -> dict[str, Any]:
    """The points of a scan with their figures, and its laws, for JSON."""
    points = [
        {
            "couplings": dict(point.couplings),
            "ess": point.ess,
            "steps": point.steps,
            "coverage": point.coverage,
            "figures": {name: point[name] for name in point.figures},
        }
        for point in scan.points
    ]
    laws = [
        {"law": law.name, "chi_squared": law.chi_squared, "degrees": law.degrees, "p_value": law.p_value}
        for law in scan.consistency
    ]
    return {"points": points, "laws": laws, "warnings": scan.warnings}


def _expectations(result: Samples | Chain | Annealed) -> dict[str, Any]:
    """The means of the action and of the observables, and the declared functions of them."""
    means = {name: result.expect(name) for name in ("action", *observable_names(result.program))}
    return means | {name: result.derived(name) for name in result.declared}


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
    rows[virial_label(samples.program)] = (samples.virial, chain.virial)
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
        say(f"picture            {plot}")
        tell(picture=plot)


def write_page(result: Reported, page: Path | None) -> None:
    """Write the page of a result, if one is wanted."""
    if page is not None:
        result.report(page)
        say(f"report             {page}")
        tell(report=page)


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
