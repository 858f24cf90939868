"""The market: how its links are stored, built and packed, and what is summed over them."""
