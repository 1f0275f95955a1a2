"""The parts of the local provider: three wire formats, a handset, faults, webhooks."""
