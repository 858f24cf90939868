"""Four homes along a cable, and four hours of what they produce and need, with what is fair by hand.

The cable: north – mid – south – end. By hour:

0. North has 6 and needs 2; mid needs 3, south 3, end 1. North has 4 for mid, who takes 3. If cables reach two
   links, mid and south have 4 for needs of 3 each.
1. Mid has 5 and needs 1; north needs 1, south 6 and has 2 itself, end 1. Coverage is levelled at L: north
   gets L, south 6 L − 2, together 4, so L = 6/7. Equal rights: both could have (4 + 2)/2 = 3 in all, but
   north needs 1, so south gets 3. End has no neighbour with a surplus.
2. Night: nobody has anything. 3. Nobody needs anything, and end has 2.
"""

import pandas as pd

LINKS = "source,target\nnorth,mid\nmid,south\nsouth,end\n"
HOMES = ("north", "mid", "south", "end")
HOURS = [f"2030-05-01 {hour}:00" for hour in ("10", "11", "22", "23")]
PRODUCTION = {"north": [6, 0, 0, 0], "mid": [0, 5, 0, 0], "south": [0, 2, 0, 0], "end": [0, 0, 0, 2]}
NEED = {"north": [2, 1, 1, 0], "mid": [3, 1, 1, 0], "south": [3, 6, 1, 0], "end": [1, 1, 1, 0]}
RECEIVED = {"north": [0, 6 / 7, 0, 0], "mid": [3, 0, 0, 0], "south": [0, 22 / 7, 0, 0], "end": [0, 0, 0, 0]}
GIVEN = {"north": [3, 0, 0, 0], "mid": [0, 4, 0, 0], "south": [0, 0, 0, 0], "end": [0, 0, 0, 0]}


def frame(table, **more):
    """Such a table as pandas has it, with the times as its index."""
    return pd.DataFrame(table, index=pd.Index(HOURS, name="time"), **more)


def wide(table, order=HOMES) -> str:
    return frame(table)[[*order]].to_csv()


def long() -> str:
    """Both tables as one, agent by agent."""
    rows = [
        f"{HOURS[t]},{home},{PRODUCTION[home][t]},{NEED[home][t]}"
        for home in reversed(HOMES)
        for t in range(4)
    ]
    return "\n".join(["time,agent,production,need", *rows]) + "\n"


def write(folder):
    """The files of the village: links, production, need and both in one."""
    texts = {
        "links": LINKS,
        "production": wide(PRODUCTION),
        "need": wide(NEED, HOMES[::-1]),
        "balance": long(),
    }
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text)
    return folder
