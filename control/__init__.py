"""The controller: desired state, health, tables, API and command line."""
