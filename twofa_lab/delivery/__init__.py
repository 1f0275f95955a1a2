"""Getting a code to a person: phone numbers, fallback plans, limits, providers."""
