"""Better places on an ECP5 than nextpnr alone finds: of RAMs and multipliers, and of the logic on slow paths."""
