"""Three neighbours, and three hours of their sun, as files."""

import pandas as pd

LINKS = "source,target\nwest,mid\nmid,east\neast,west\n"
SUN = {"west": [0.0, 2.0, 4.0], "mid": [0.0, 1.0, 0.5], "east": [0.0, 0.0, 3.0]}
HOURS = ["2030-05-01 05:00", "2030-05-01 06:00", "2030-05-01 07:00"]


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def sunny(order=("east", "west", "mid"), times=None, name="timestamp"):
    """The trace as text, its columns in this order, perhaps behind a column of times."""
    table = pd.DataFrame({agent: SUN[agent] for agent in order})
    if times is not None:
        table.insert(0, name, times, allow_duplicates=True)
    return table.to_csv(index=False)
