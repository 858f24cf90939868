"""Networks that are known by name, listed here so that NetworkX and JAX need not be loaded to find a name."""

NETWORKX = {
    "karate": "karate_club_graph",
    "les-miserables": "les_miserables_graph",
    "davis": "davis_southern_women_graph",
    "florentine": "florentine_families_graph",
}
"""The functions of NetworkX that make them."""
SHIPPED = {"gnutella": "p2p-Gnutella04.txt.gz"}
"""Files that come with the package."""
KNOWN_NETWORKS = (*NETWORKX, *SHIPPED)
