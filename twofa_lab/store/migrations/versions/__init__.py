"""One module a version, oldest first; a released one never changes."""
