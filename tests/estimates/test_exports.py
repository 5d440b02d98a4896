"""Samples, annealings and chains in xarray, ArviZ and pandas: names, axes, weights, and nothing made up."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import cache
from typing import Any

import networkx as nx
import numpy as np
import pytest
import xarray

import sesamo_dsl as sd
from sesamo_dsl.errors import BackendError, OptionError
from sesamo_dsl.estimates.exports import Exports
from sesamo_dsl.estimates.samples_file import axis_names
from sesamo_dsl.stages.lower import lower_theory
from support import untrained

FIELD = np.arange(6.0).reshape(2, 3) / 10
PATH = sd.GraphLattice(nx.path_graph(3), time=2)


def theory(lattice: Any, *, blocks: bool = False) -> sd.Theory:
    """A Gaussian in a random field, with an observable whose name is that of an array."""
    phi, h = sd.ScalarField("phi", lattice), sd.SiteConstant("h", lattice)
    g = sd.parameters("g")
    group = sd.Sitewise(sd.Z2(phi)) if blocks else sd.Z2(phi)
    return sd.Theory(
        "exported",
        fields=[phi],
        action=lattice.sum(g * phi**2 + h * phi),
        symmetries=[group],
        defaults={h: FIELD if len(lattice.shape) > 1 else FIELD[0, :2], g: 1},
        observables={"m": lattice.sum(phi), "sector": lattice.sum(phi) ** 2},
    )


@cache
def samples(blocks: bool = False) -> sd.Samples:
    """Samples of an untrained model with weights far from equal."""
    compiled = sd.compile(theory(sd.Lattice(2) if blocks else sd.Lattice(2, 3), blocks=blocks), "torch")
    model, values = untrained(compiled), compiled.theory.parameter_values({})
    return sd.Samples.of(model.sample(2000, 3), compiled.program, values, None)


@cache
def annealed() -> sd.Annealed:
    return sd.anneal(theory(sd.Lattice(2, 3)), walkers=128, populations=4, progress=False)


@cache
def chain() -> sd.Chain:
    options: dict[str, Any] = {"chains": 4, "trajectories": 30, "warm_up": 50}
    return sd.hmc(theory(sd.Lattice(2, 3)), **options)


def test_a_dataset_has_the_arrays_with_their_axes() -> None:
    of_model = samples()
    data = of_model.to_xarray()
    assert dict(data.sizes) == {"sample": 2000, "component": 1, "axis_0": 2, "axis_1": 3}
    assert data["x"].dims == ("sample", "component", "axis_0", "axis_1")
    assert list(data["component"].values) == ["phi"]
    np.testing.assert_array_equal(data["x"].sel(component="phi", axis_1=2), of_model.x[:, 0, :, 2])
    for name in ("log_weights", "action", "log_q", "sector", "leaked"):
        np.testing.assert_array_equal(data[name], getattr(of_model, name))
    np.testing.assert_allclose(data["m"], of_model.x.sum(axis=(1, 2, 3)), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(data["observable_sector"], data["m"] ** 2)
    np.testing.assert_array_equal(data["coupling_h"], FIELD)
    assert data["coupling_h"].dims == ("axis_0", "axis_1")
    assert (data.attrs["theory"], json.loads(data.attrs["couplings"])) == ("exported", {"g": 1.0})
    weights = np.exp(data["log_weights"] - data["log_weights"].max())
    assert float(data["m"].weighted(weights).mean()) == pytest.approx(of_model.expect("m").value, abs=1e-9)
    assert data.attrs["ess"] == of_model.ess
    blocks = samples(blocks=True).to_xarray()
    assert blocks["sector"].dims == ("sample", "block")
    assert blocks.sizes["block"] == 2
    assert axis_names(lower_theory(sd.analyse(theory(PATH)))) == ("axis_0", "node")


def test_chains_and_annealings_have_axes_of_their_own() -> None:
    data, of_walkers = chain().to_xarray(), annealed().to_xarray()
    assert data["x"].dims == ("chain", "draw", "component", "axis_0", "axis_1")
    np.testing.assert_array_equal(data["x"], chain().x)
    np.testing.assert_array_equal(data["m"], chain().series("m"))
    np.testing.assert_array_equal(data["sector"], chain().sector)
    assert "log_weights" not in data
    np.testing.assert_array_equal(of_walkers["x"], annealed().samples)
    for name in ("log_weights", "population", "ancestor"):
        np.testing.assert_array_equal(of_walkers[name], getattr(annealed(), name))
    assert of_walkers.attrs["log_z"] == annealed().log_z


@pytest.mark.parametrize("make", [samples, annealed])
def test_arviz_gets_samples_of_the_target(make: Any) -> None:
    """Every sample n w times, up to one, in ascending order; means agree with those by weights."""
    weighted, names = make(), ("x", "m", "observable_sector")
    tree = weighted.to_arviz()
    assert set(tree.children) == {"posterior", "sample_stats", "constant_data"}
    assert set(tree["posterior"].data_vars) == set(names)
    assert tree["posterior"]["x"].dims == ("chain", "draw", "component", "axis_0", "axis_1")
    count = len(weighted)
    assert tree["posterior"].sizes["draw"] == count
    np.testing.assert_array_equal(tree["sample_stats"]["lp"], -tree["sample_stats"]["action"])
    assert "log_weights" not in tree["sample_stats"]
    x = weighted.to_xarray()["x"].values
    rows = {row.tobytes(): number for number, row in enumerate(x)}
    drawn = np.array([rows[row.tobytes()] for row in tree["posterior"]["x"].values[0]])
    assert (np.diff(drawn) >= 0).all()
    times = np.bincount(drawn, minlength=count)
    expected = count * weighted.weights
    assert (np.abs(times - expected) < 1 + 1e-9).all()
    assert times[weighted.weights == 0].sum() == 0
    value, error = weighted.expect("m")
    assert abs(tree["posterior"]["m"].values.mean() - value) < error
    other = weighted.to_arviz(seed=1)
    assert not np.array_equal(other["posterior"]["x"], tree["posterior"]["x"])
    as_drawn = weighted.to_arviz(resampled=False)
    np.testing.assert_array_equal(as_drawn["posterior"]["x"][0], x)
    np.testing.assert_array_equal(as_drawn["sample_stats"]["log_weights"][0], weighted.log_weights)


def test_arviz_gets_chains_as_they_are() -> None:
    tree = chain().to_arviz()
    assert isinstance(tree, xarray.DataTree)
    np.testing.assert_array_equal(tree["posterior"]["x"], chain().x)
    from arviz_stats.base.array import array_stats

    theirs = array_stats.rhat(tree["posterior"]["m"].values, chain_axis=0, draw_axis=1)
    assert float(theirs) == pytest.approx(chain().convergence["m"].r_hat)


def test_a_table_has_a_row_for_each_configuration() -> None:
    table = samples().to_dataframe()
    assert list(table) == ["m", "observable_sector", "action", "log_q", "sector", "leaked", "log_weights"]
    np.testing.assert_array_equal(table["log_weights"], samples().log_weights)
    wide = samples().to_dataframe(configurations=True)
    np.testing.assert_array_equal(wide["phi[1,2]"], samples().x[:, 0, 1, 2])
    assert len(wide.columns) == 7 + 6
    of_chain = chain().to_dataframe()
    assert list(of_chain) == ["chain", "draw", "m", "observable_sector", "action", "sector"]
    row = of_chain[(of_chain["chain"] == 2) & (of_chain["draw"] == 7)]
    assert float(row["action"].iloc[0]) == chain().action[2, 7]
    assert [f"sector[{b}]" in samples(blocks=True).to_dataframe() for b in (0, 1, 2)] == [True, True, False]
    large = replace(samples(), x=np.zeros((2000, 1, 2, 3)))
    object.__setattr__(large, "program", replace(large.program, shape=(40, 40)))
    with pytest.raises(OptionError, match="at most 1000 numbers"):
        large.to_dataframe(configurations=True)


def test_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    none = replace(samples(), leaked=np.ones(2000, bool))
    with pytest.raises(OptionError, match="weights that are finite"):
        none.to_arviz()
    with pytest.raises(OptionError, match=r"β = 0\.5"):
        replace(annealed(), reached=0.5).to_arviz()
    for wrong in ({"seed": -1}, {"resampled": 1}):
        with pytest.raises(OptionError):
            samples().to_arviz(**wrong)
    number: Any = 1
    with pytest.raises(OptionError):
        samples().to_dataframe(configurations=number)
    for library, method in (("xarray", Exports.to_xarray), ("pandas", Exports.to_dataframe)):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, library, None)
            with pytest.raises(BackendError, match=rf"{library}.*\n.*\n.*sesamo-dsl\[files\]"):
                method(samples())
