"""Words for markets, strategies and what else a user names, on the command line and in studies alike.

JAX takes seconds to load: nothing here imports it before an object is built.
"""
