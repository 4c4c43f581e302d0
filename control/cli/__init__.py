"""``guideway``: the command line. It knows the API and nothing else."""
