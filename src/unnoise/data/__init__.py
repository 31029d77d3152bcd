"""Readers, writers and data sets: pictures in from files, pictures out to files, nothing in between."""
