"""A village of 100 buildings over a year of hours: what each produces and needs, and whose cables meet.

Made of public formulas and one seed, and of no measurement:

- **Sun.** Declination 23.45° sin(2π (284 + day) / 365) (Cooper 1969), and elevation from it, the latitude and
  solar time; air mass after Kasten and Young (1989); clear-sky beam 1.353 kW/m² · 0.7^(air mass^0.678)
  (Meinel 1976), and a tenth of it as diffuse light. Panels of 1 kWp make 0.85 kW of a kW per square metre.
- **Clouds.** One number per hour for the whole village says what they let through: a mean of the day, which
  resembles the day before and is lower in winter, and a deviation of the hour.
- **Load.** Households: a base, and rises in the morning, at noon and in the evening, at hours of their own;
  over the year the polynomial by which the German standard load profile H0 is made dynamic. Shops and
  schools: office hours on working days. Farms: mornings and evenings. Heat pumps: degrees below 15 °C.

`python village.py FOLDER` writes links.csv, production.csv and need.csv (kWh in each hour, to the watt-hour).
It needs NumPy and pandas.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

SEED = 2030
LATITUDE = np.radians(48)
STREETS, HOUSES = 4, 25
TIMES = pd.date_range("2030-01-01", periods=8760, freq="h")
KINDS = {"home": 88, "shop": 5, "farm": 5, "school": 2}


def made_by(rng) -> pd.DataFrame:
    """The buildings: kind, kWh needed in a year, kWp of panels and where they face, and heat pumps."""
    kinds = rng.permutation(np.repeat(list(KINDS), list(KINDS.values())))
    names = [f"{street}{house}" for street in "ABCD" for house in range(1, HOUSES + 1)]
    year = {"home": 3500, "shop": 14000, "farm": 22000, "school": 30000}
    has_panels = rng.random(len(kinds)) < np.select([kinds == "farm", kinds == "home"], [0.8, 0.4], 0.5)
    size = {"home": (4, 10), "shop": (10, 20), "farm": (12, 25), "school": (20, 30)}
    return pd.DataFrame(
        {
            "kind": kinds,
            "year": [year[kind] * rng.lognormal(0, 0.35) for kind in kinds],
            "panels": has_panels * np.array([rng.uniform(*size[kind]) for kind in kinds]),
            "azimuth": np.radians(rng.choice([-90, -45, 0, 0, 45, 90], len(kinds))),  # from south to the west
            "heats": (kinds == "home") & (rng.random(len(kinds)) < 0.15),
        },
        index=pd.Index(names, name="agent"),
    )


def sun(azimuth: np.ndarray, tilt: float = np.radians(35)) -> np.ndarray:
    """kW that fall on a square metre of panels that face this way, under a clear sky, in each hour."""
    day = TIMES.day_of_year.to_numpy()[:, None]
    angle = 2 * np.pi * (TIMES.hour.to_numpy()[:, None] + 0.5 - 12) / 24
    declination = np.radians(23.45) * np.sin(2 * np.pi * (284 + day) / 365)
    up = np.sin(LATITUDE) * np.sin(declination) + np.cos(LATITUDE) * np.cos(declination) * np.cos(angle)
    west = np.cos(declination) * np.sin(angle)
    south = np.sin(LATITUDE) * np.cos(declination) * np.cos(angle) - np.cos(LATITUDE) * np.sin(declination)
    height = np.degrees(np.arcsin(np.maximum(up, 0)))
    mass = 1 / (np.maximum(up, 0) + 0.50572 * (height + 6.07995) ** -1.6364)
    beam = np.where(up > 0, 1.353 * 0.7 ** (mass**0.678), 0)
    facing = np.cos(tilt) * up + np.sin(tilt) * (np.cos(azimuth) * south + np.sin(azimuth) * west)
    return beam * np.maximum(facing, 0) + 0.1 * beam


def passing(rng) -> np.ndarray:
    """The share of sunlight that clouds let through, in each hour."""
    days, state = len(TIMES) // 24, rng.normal()
    mean = []
    for day in range(days):
        state = 0.6 * state + 0.8 * rng.normal()
        mean.append(state + 0.3 - 0.7 * np.cos(2 * np.pi * (day + 10) / 365))
    hours = np.repeat(mean, 24) + 0.5 * rng.normal(size=len(TIMES))
    return 0.12 + 0.88 / (1 + np.exp(-1.5 * hours))


def shape(kind: str, rng) -> np.ndarray:
    """Load of a building of this kind in each hour, up to a factor."""
    hour, day = TIMES.hour.to_numpy() + 0.5, TIMES.day_of_year.to_numpy().astype(float)
    works = TIMES.day_of_week.to_numpy() < 5

    def rise(at, width):
        return np.exp(-(((hour - at + 12) % 24 - 12) ** 2) / (2 * width**2))

    if kind == "home":
        own = rng.normal(0, 0.7, 3)
        base = 0.35 + 0.8 * rise(7.5 + own[0] + 1.2 * ~works, 1.3) + 0.7 * rise(12.5 + own[1], 1.4)
        load = base + 1.4 * rise(19.5 + own[2], 2)
        load = load * (-3.92e-10 * day**4 + 3.2e-7 * day**3 - 7.02e-5 * day**2 + 2.1e-3 * day + 1.24)
    elif kind == "farm":
        load = 0.4 + rise(6, 1.2) + rise(17.5, 1.2)
    else:
        load = 0.15 + np.where(works, rise(12, 3.2), 0.1)
        if kind == "school":
            load = np.where((day > 210) & (day < 252), 0.2, load)  # holidays
    return load * rng.lognormal(0, 0.35, len(TIMES))


def made(seed: int = SEED) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Buildings, links, production and need (kWh, an hour a row and a building a column)."""
    rng = np.random.default_rng(seed)
    buildings = made_by(rng)
    azimuths = buildings["azimuth"].to_numpy()
    production = 0.85 * buildings["panels"].to_numpy() * sun(azimuths) * passing(rng)[:, None]
    need = np.stack([shape(kind, rng) for kind in buildings["kind"]], axis=1)
    need = need / need.sum(axis=0) * buildings["year"].to_numpy()
    day = TIMES.day_of_year.to_numpy()
    cold = 15 - (9 - 10 * np.cos(2 * np.pi * (day - 20) / 365) + rng.normal(0, 2, 366)[day])
    need += (
        0.09
        * np.maximum(cold, 0)[:, None]
        * buildings["heats"].to_numpy()
        * rng.uniform(0.7, 1.3, len(buildings))
    )
    frame = {"index": pd.Index(TIMES.strftime("%Y-%m-%d %H:%M"), name="time"), "columns": buildings.index}
    return (
        buildings,
        links(),
        pd.DataFrame(production, **frame).round(3),
        pd.DataFrame(need, **frame).round(3),
    )


def links() -> pd.DataFrame:
    """Cables along both sides of four streets and across them; the streets meet at their first houses."""
    pairs = [("A1", "B1"), ("B1", "C1"), ("C1", "D1"), ("D1", "A1")]
    for street in "ABCD":
        pairs += [(f"{street}{n}", f"{street}{n + 2}") for n in range(1, HOUSES - 1)]
        pairs += [(f"{street}{n}", f"{street}{n + 1}") for n in range(1, HOUSES, 2)]
    return pd.DataFrame(pairs, columns=["source", "target"])


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    _, cables, production, need = made()
    cables.to_csv(folder / "links.csv", index=False)
    production.to_csv(folder / "production.csv")
    need.to_csv(folder / "need.csv")
