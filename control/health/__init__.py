"""Health of backends: counted in one place, waited for in another."""
