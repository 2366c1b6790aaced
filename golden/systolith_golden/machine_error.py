"""Errors of the machine model: which command broke which rule."""

__all__ = ["HazardError", "MachineError"]


class MachineError(ValueError):
    """A command that the accelerator must not be given.

    Parameters
    ----------
    index : int
        Position of the command in the program, from 0.
    opcode : str
        Name of the command.
    message : str
        The rule, as "<field> must be <rule>, not <value>".
    field : str
        Field, or other thing, that breaks the rule.
    value : object
        Its value.
    """

    def __init__(self, index: int, opcode: str, message: str, *, field: str = "", value: object = None):
        super().__init__(f"Command {index} ({opcode}): {message}")
        self.index = index
        self.opcode = opcode
        self.field = field
        self.value = value


class HazardError(MachineError):
    """Two commands that touch the same bytes are not ordered by tokens.

    `other` is the index of the earlier command, `space` the memory and `kind` "read after write", "write
    after read" or "write after write".
    """

    def __init__(self, index: int, opcode: str, message: str, *, other: int, space: str, kind: str):
        super().__init__(index, opcode, message, field=space, value=other)
        self.other = other
        self.space = space
        self.kind = kind
