"""Serial control: one microprogram executes the commands one after the other."""
