"""What is wrong in a file, where, and what would be right; both daemons say so."""
