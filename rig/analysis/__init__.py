"""Pure functions on arrays: the same code live and offline."""
