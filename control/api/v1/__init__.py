"""Version 1 of the API: guideway.proto, and what `make proto` makes of it."""
