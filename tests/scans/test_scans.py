"""Scans over couplings against closed forms, and what they say of themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sesamo_dsl as sd
from sesamo_dsl.errors import OptionError, RunError
from sesamo_dsl.estimates.log_z_derivatives import action_derivatives
from sesamo_dsl.scans.laws import integral, laws_of
from sesamo_dsl.scans.point import ScanPoint
from sesamo_dsl.testing.properties import PROPERTIES
from sesamo_dsl.testing.subject import Subject
from sesamo_dsl.testing.suite import check_property

LATTICE = sd.Lattice(4)
PHI = sd.ScalarField("phi", LATTICE)
K, H = sd.parameters("k h")
CHAIN = sd.Theory(
    "chain",
    fields=[PHI],
    action=LATTICE.sum(PHI**2 - K * PHI * PHI.shift(0) - H * PHI),
    defaults={K: 0.5, H: 0.3},
    symmetries=[sd.Z2(PHI)],
    observables={"m_squared": (LATTICE.sum(PHI) / 4) ** 2, "one": 1 + 0 * LATTICE.sum(PHI)},
)
QUICK: dict[str, Any] = {
    "flow": sd.FlowSpec(layers=2, hidden=(8,)),
    "batch": 64,
    "steps": 30,
    "progress": False,
    "check": False,
}


def exact(k: float, h: float) -> float:
    """log Z of the Gaussian chain by its precision matrix."""
    precision = np.array([[2 * (i == j) - k * (abs(i - j) in (1, 3)) for j in range(4)] for i in range(4)])
    source = h * np.ones(4)
    spread = 2 * np.log(2 * np.pi) - np.linalg.slogdet(precision)[1] / 2
    return float(spread + source @ np.linalg.solve(precision, source) / 2)


@pytest.fixture(scope="module")
def compiled() -> sd.CompiledTheory:
    return sd.compile(CHAIN, "torch")


@pytest.fixture(scope="module")
def scanned(compiled: sd.CompiledTheory) -> sd.Scan:
    return sd.scan(compiled, {"k": [0.1, 0.4, 0.7], "h": [0.0, 0.5]}, n=4000, directory=False, **QUICK)


def test_curves_against_closed_forms(scanned: sd.Scan) -> None:
    """log Z with both first and all second derivatives, at every point of a product of ranges."""
    for point in scanned.points:
        k, h = point.couplings["k"], point.couplings["h"]
        c = 2 - 2 * k
        wanted = {
            "log_z": exact(k, h),
            "d_log_z[h]": 4 * h / c,
            "d2_log_z[h,h]": 4 / c,
            "d2_log_z[h,k]": 8 * h / c**2,
            "d_log_z[k]": (exact(k + 1e-4, h) - exact(k - 1e-4, h)) / 2e-4,
            "m_squared": 1 / (4 * c) + (h / c) ** 2,
        }
        for name, value in wanted.items():
            found = point[name]
            assert abs(found.value - value) < 4.5 * found.error + 1e-6, (name, k, h)
            assert found.error < 0.25 * max(1, abs(value))
        if h == 0:
            assert abs(point["binder"].value) < 4.5 * point["binder"].error
        assert point["m^2"] == pytest.approx(point["m_squared"], rel=1e-5)


def test_neighbours_differ_by_one_step(scanned: sd.Scan) -> None:
    way = [tuple(point.couplings.values()) for point in scanned.points]
    assert way == [(0.1, 0.0), (0.1, 0.5), (0.4, 0.5), (0.4, 0.0), (0.7, 0.0), (0.7, 0.5)]
    assert [point.steps for point in scanned.points].count(30) >= 1
    assert [point.steps for point in scanned.points].count(10) >= 3


def test_the_laws_hold_and_are_tested(scanned: sd.Scan) -> None:
    integration, *reweighting = scanned.consistency
    assert integration.holds
    assert integration.degrees == 5
    tested = {law.name.partition(", ")[2]: law for law in reweighting}
    assert set(tested) == {"log_z", "action", "m^2", "m_squared", "one"}
    assert all(law.holds for name, law in tested.items() if name != "one")
    assert tested["one"].holds is None  # a constant tests nothing
    assert not any("violated" in warning for warning in scanned.warnings)


@pytest.mark.parametrize("name", ["log_z", "next:d1", "previous:log_z"])
def test_a_wrong_point_violates_a_law(scanned: sd.Scan, name: str) -> None:
    error = scanned.points[2][name].error
    points = list(scanned.points)
    fields = {f: getattr(points[2], f) for f in ScanPoint.__dataclass_fields__}
    values = points[2].values.copy()
    values[points[2].names.index(name)] += 20 * error + 0.05
    points[2] = ScanPoint(**{**fields, "values": values})
    violated = [law for law in laws_of(points) if law.holds is False]
    assert violated
    assert "k = 0.4" in violated[0].worst[0]
    assert abs(violated[0].worst[1]) > 5


def test_chi_squared_has_the_right_distribution() -> None:
    """Over many scans of invented Gaussian figures, with correlations, the mean of χ² is its degrees."""
    rng = np.random.default_rng(4)
    found = []
    for _ in range(300):
        points = []
        for i in range(5):
            names = ("log_z", *(f"{s}:{d}" for s in ("previous", "next") for d in ("d1", "d2", "d3", "d4")))
            if i == 0:
                names = tuple(n for n in names if not n.startswith("previous"))
            if i == 4:
                names = tuple(n for n in names if not n.startswith("next"))
            factor = 0.1 * rng.normal(size=(len(names), len(names)))
            t = float(i)
            truth = {"log_z": t**3 / 10, "d1": 0.3 * t**2, "d2": 0.6 * t, "d3": 0.6, "d4": 0.0}
            exact = [
                truth[n.rpartition(":")[2]] * (-1 if n in ("previous:d1", "previous:d3") else 1)
                for n in names
            ]
            for k, n in enumerate(names):
                if n.endswith("d4"):
                    factor[k] = 0
            values = np.array(exact) + factor @ rng.normal(size=len(names))
            points.append(ScanPoint({"t": t}, names, values, factor, 1.0, 1000, 1, 1.0, "", ""))
        law = laws_of(points)[0]
        found.append(law.chi_squared / max(law.degrees, 1))
        assert law.degrees == 4
    assert abs(np.mean(found) - 1) < 4.5 * np.sqrt(2 / 4 / 300)


def test_a_scan_from_a_file_is_the_same(scanned: sd.Scan, tmp_path: Any) -> None:
    path = tmp_path / "scan.npz"
    scanned.save(path)
    loaded = sd.Scan.load(path)
    assert loaded.text() == scanned.text()
    assert loaded.warnings == scanned.warnings
    difference = loaded.points[1]["log_z"] - scanned.points[1]["log_z"]
    assert difference == (0.0, 0.0)
    path.write_bytes(path.read_bytes()[:-100])
    for wrong in (path, tmp_path / "none.npz", tmp_path):
        with pytest.raises(RunError, match="file of a scan"):
            sd.Scan.load(wrong)
    with pytest.raises(OptionError, match=r"ends in \.npz"):
        scanned.save(tmp_path / "scan.h5")


def test_tables_and_arrays(scanned: sd.Scan) -> None:
    data = scanned.to_xarray()
    assert dict(data.sizes) == {"k": 3, "h": 2}
    at = data.sel(k=0.4, h=0.0)
    assert float(at["log_z"]) == scanned.points[3]["log_z"].value
    assert float(at["log_z_error"]) == scanned.points[3]["log_z"].error
    frame = scanned.to_dataframe()
    assert list(frame["h"]) == list(scanned.coupling("h"))
    assert scanned.table(["binder"]).count("±") == 6
    assert repr(scanned) == "Scan('chain', 6 points, k 0.1 to 0.7, h 0 to 0.5)"
    assert "thermodynamic integration" in scanned._repr_html_()
    figure = scanned.plot()
    assert len([a for a in figure.axes if a.get_visible()]) == 6
    assert len(scanned.plot("binder", against="h").axes[0].containers) == 3
    for call in (scanned.curve, scanned.coupling, scanned.plot, lambda n: scanned.plot(against=n)):
        with pytest.raises(OptionError):
            call("nothing")
    with pytest.raises(OptionError, match="peak"):
        scanned.peak("binder")


def invented(t: float, figures: dict[str, float], factor: np.ndarray | None = None) -> ScanPoint:
    values = np.array(list(figures.values()))
    factor = np.zeros((len(values), 1)) if factor is None else factor
    return ScanPoint({"t": t}, tuple(figures), values, factor, 1.0, 1000, 1, 1.0, "", "")


@pytest.mark.parametrize("step", [0.5, 1.0, 2.0])
def test_the_rule_of_integration_and_its_error(step: float) -> None:
    """For log Z = exp(t) the error is as large as is said, and falls as the seventh power of the step."""
    derivatives = {f"d{k}": step**k for k in (1, 2, 3, 4)}
    first = invented(0.0, {"log_z": 1.0} | {f"next:{name}": value for name, value in derivatives.items()})
    at_end = {name: np.exp(step) * (-step) ** int(name[1]) for name in derivatives}
    second = invented(step, {"log_z": np.exp(step)} | {f"previous:{n}": v for n, v in at_end.items()})
    found = integral(first, second)
    assert found is not None
    off = abs(found[0].value - (np.exp(step) - 1))
    assert 0.8 < off / found[1] < 1.2
    assert off < np.exp(step) * step**7 / 100_000


def test_a_peak_is_the_vertex_of_a_parabola() -> None:
    rng = np.random.default_rng(3)
    heights, places = [], []
    for _ in range(400):
        noise = 0.01 * rng.normal(size=4)
        curve = [2 - (t - 0.3) ** 2 + e for t, e in zip((-1.0, 0.0, 0.5, 2.0), noise, strict=True)]
        points = tuple(
            invented(t, {"chi": value}, np.array([[0.01]]))
            for t, value in zip((-1.0, 0.0, 0.5, 2.0), curve, strict=True)
        )
        at, height = sd.Scan("t", ("t",), {}, points, None, "").peak("chi")
        places.append((at.value - 0.3) / at.error)
        heights.append((height.value - 2) / height.error)
    for scores in (places, heights):
        assert abs(np.mean(scores)) < 4.5 / 20
        assert abs(np.var(scores) - 1) < 4.5 * np.sqrt(2 / 400) + 0.05
    rising = tuple(invented(t, {"chi": t}, np.array([[0.01]])) for t in (0.0, 1.0, 2.0))
    with pytest.raises(OptionError, match="wider range"):
        sd.Scan("t", ("t",), {}, rising, None, "").peak("chi")


def noisy(values: dict[float, float], rng: Any) -> sd.Scan:
    """A scan whose Binder cumulants are these with errors of 0.01."""
    points = [
        invented(t, {"binder": value + 0.01 * rng.normal()}, np.array([[0.01]]))
        for t, value in values.items()
    ]
    return sd.Scan("t", ("t",), {}, tuple(points), None, "")


def test_a_crossing_has_the_right_error() -> None:
    """Straight lines t and 0.6 − t/2, in other orders and at other points, cross at t = 0.4."""
    rng = np.random.default_rng(5)
    places, heights = [], []
    for _ in range(400):
        one = noisy({t: t for t in (1.0, 0.0, 2.0, 0.5)}, rng)
        two = noisy({t: 0.6 - t / 2 for t in (-1.0, 0.0, 1.0, 0.7)}, rng)
        at, height = one.crossing(two)
        places.append((at.value - 0.4) / at.error)
        heights.append((height.value - 0.4) / height.error)
        back = two.crossing(one)
        assert back[0].value == pytest.approx(at.value)
        assert back[1].error == pytest.approx(height.error)
    for scores in (places, heights):
        assert abs(np.mean(scores)) < 4.5 / 20
        assert abs(np.var(scores) - 1) < 4.5 * np.sqrt(2 / 400) + 0.05
    flat, wave = noisy({0.0: 0.5, 1.0: 0.5, 2.0: 0.5}, rng), noisy({0.0: 0.0, 1.0: 1.0, 2.0: 0.0}, rng)
    for other, words in ((wave, "0 to 1, 1 to 2"), (noisy({5.0: 1.0}, rng), "none at 0 common"), (3, "scan")):
        with pytest.raises(OptionError, match=words):
            flat.crossing(other)  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match="figure of the scan"):
        flat.crossing(wave, "log_z")


@pytest.mark.parametrize(("slopes", "curvatures"), [(1.01, 1.0), (1.0, 1.1)])
def test_the_property_sees_wrong_derivatives(slopes: float, curvatures: float, monkeypatch: Any) -> None:
    law = next(p for p in PROPERTIES if p.name == "thermodynamic_integration")
    subject = Subject.of(CHAIN, ["torch"])
    assert check_property(law, subject).holds

    def wrong(*arguments: Any) -> Any:
        known, first, second = action_derivatives(*arguments)
        return known, slopes * first, second + curvatures - 1

    monkeypatch.setattr("sesamo_dsl.testing.properties.action.action_derivatives", wrong)
    assert not check_property(law, subject, shrink=False).holds
