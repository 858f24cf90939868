"""All parts, in the order in which they are told."""

from cmapjax.reproduce._part import Part

PARTS: tuple[Part, ...] = (
    Part(
        "equilibrium",
        "The central program is fair and stable",
        "The market-level goal can be made one central program; its allocation is fair, everybody receiving "
        "in proportion to what it contributes as far as the network allows, and stable, no coalition gaining "
        "by leaving.",
        ("C1", "E1", "E2"),
        "_equilibrium",
    ),
    Part(
        "communities",
        "Any community acts alike",
        "However far an agent's community reaches, k = 1, 2, 3 …, CMAP behaves identically; with k = 0 it "
        "does nothing.",
        ("C2", "E9"),
        "_communities",
    ),
    Part(
        "in-turn",
        "One agent after another",
        "CMAP behaves like coordinate ascent: one agent after another it never lowers welfare and converges.",
        ("C3", "E3"),
        "_in_turn",
    ),
    Part(
        "all-at-once",
        "All agents at once",
        "When all agents act at the same time CMAP can oscillate and diverge.",
        ("C4", "E4", "E5"),
        "_all_at_once",
    ),
    Part(
        "share-at-once",
        "How many may act at once",
        "Between one agent at a time and all at once lies the share at which CMAP stops converging.",
        ("C4", "E7"),
        "_share_at_once",
    ),
    Part(
        "smallest-markets",
        "The smallest markets that fail",
        "Some very small markets oscillate, diverge or never settle when all agents follow CMAP at once.",
        ("C4",),
        "_smallest",
    ),
    Part(
        "colouring",
        "Acting in parallel, exactly",
        "Agents that share no receiver may act at the same time: a sweep by colours is a sequential sweep.",
        ("C4", "E10"),
        "_colouring",
    ),
    Part(
        "numerical-program",
        "98 % by projected gradient",
        "The numerical implementation of CMAP gets to 98 % of the equilibrium.",
        ("C5",),
        "_numerical",
    ),
    Part(
        "proportional-response",
        "Proportional response against CMAP",
        "CMAP was outperformed by proportional response, a self-maximising strategy.",
        ("C6", "E6", "E8"),
        "_rival",
    ),
    Part(
        "welfare",
        "Welfare and loss, and their definitions",
        "Nash social welfare rises and market loss falls over time.",
        ("C7",),
        "_welfare",
    ),
    Part(
        "surplus",
        "Surplus that arrives at random and perishes",
        "With endowments drawn anew every round, running averages approach the equilibrium, and so does a "
        "dynamic sharing policy that gives to the neighbour with the smallest running ratio.",
        ("C8", "E11"),
        "_surplus",
    ),
    Part(
        "size",
        "From 20 to a million agents",
        "Cost per round grows in proportion to the number of links.",
        ("C9", "E15"),
        "_size",
    ),
    Part(
        "disturbances",
        "Asynchrony, delay, loss, mixed strategies and churn",
        "Agents that act late, lose messages, follow different strategies, or come and go.",
        ("E12",),
        "_disturbances",
    ),
    Part(
        "incentives",
        "What an agent gains by lying",
        "Hiding links or endowments gains nothing; splitting into several identities gains less than double.",
        ("E13",),
        "_incentives",
    ),
    Part(
        "topology",
        "Which networks are equal",
        "Denser networks lower inequality, with diminishing returns.",
        ("E14",),
        "_topology",
    ),
)
