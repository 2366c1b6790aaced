"""What surrounds the accelerator on a board: clock, main memory, host link, lights."""
