"""Design-space exploration: which accelerator runs a set of networks best on a board."""
