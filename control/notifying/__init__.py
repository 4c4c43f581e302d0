"""Telling people, by programs and by mail, what becomes of backends and services."""
