"""The one primitive and what can be put round it. See `base` for the contract."""
