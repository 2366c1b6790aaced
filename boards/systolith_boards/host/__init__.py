"""The host's side of the link to a board."""
