"""Assembler of the microprogram.

A line is ``label: mnemonic argument ; comment``, each part optional. Mnemonics: the operations, those with ``X`` appended
for the index register, the actions, and branches: JMP, BZ, BNZ, BN, BNN, BC, BNC, BQ (quiet), BA (aborted), BO (burst over),
BE (burst failed), BD (decode error), BS (stopped), CALL and RET. Arguments of operations are names of words of the RAM or
constants (``=`` and a number or a name with a value), which get a word of their own.
"""

from dataclasses import dataclass

from systolith_spec.micro_instructions import ARGUMENT_WIDTH, INDIRECT, PROGRAM_WORDS, Action, Condition, Operation

__all__ = ["AssemblyError", "Program", "assemble"]

_BRANCHES = {
    "JMP": Condition.ALWAYS, "BZ": Condition.ZERO, "BNZ": Condition.NOT_ZERO, "BN": Condition.NEGATIVE,
    "BNN": Condition.NOT_NEGATIVE, "BC": Condition.CARRY, "BNC": Condition.NO_CARRY, "BQ": Condition.QUIET,
    "BA": Condition.ABORTED, "BO": Condition.BURST_OVER, "BE": Condition.BURST_FAILED, "BD": Condition.DECODE_ERROR,
    "BS": Condition.STOPPED, "CALL": Condition.CALL, "RET": Condition.RETURN,
}
_READS = (Operation.LD, Operation.ADD, Operation.SUB, Operation.AND)
_CALCULATES = (*_READS, Operation.SHR, Operation.LDC, Operation.LDR)
_WRITES = (Operation.ST, Operation.STC)
_INDEXED = (*_READS, *_WRITES)
_INDEXED_ACTIONS = (Action.EXPONENT, Action.SCALE)
_LOADS_INDEX = (Action.INDEX, Action.INDEX_WORDS)


class AssemblyError(ValueError):
    """A line that cannot be translated; the message names it."""


@dataclass(frozen=True)
class Program:
    """A translated microprogram.

    Attributes
    ----------
    words : tuple of int
        Instructions.
    labels : dict of str to int
        Addresses of the labels.
    constants : dict of int to int
        Words of the RAM that have an initial value, by address.
    memory_words : int
        Words of the RAM that constants and variables take.
    """

    words: tuple[int, ...]
    labels: dict[str, int]
    constants: dict[int, int]
    memory_words: int


def _lines(text):
    for number, line in enumerate(text.splitlines(), 1):
        line = line.split(";")[0].strip()
        label = None
        if ":" in line:
            label, line = (part.strip() for part in line.split(":", 1))
        if label or line:
            yield number, label, line.split()


def _spaced(lines):
    """Insert an instruction where one would use what the one before it makes, too early."""
    written, indexed, calculated = None, False, False
    for number, label, parts in lines:
        if parts:
            name, argument = parts[0], parts[1:]
            reads = argument if name in [operation.name for operation in _READS] else None
            indirect = name[-1] == "X" and name[:-1] in Operation.__members__ or name in ("EXPONENT", "SCALE")
            tested = _BRANCHES.get(name) in (Condition.ZERO, Condition.NOT_ZERO)
            if (reads and reads == written) or (indirect and indexed) or (tested and calculated):
                yield number, None, ["NOP"]
            written = argument if name in [operation.name for operation in _WRITES] else None
            indexed = name in [action.name for action in _LOADS_INDEX]
            calculated = name.removesuffix("X") in [operation.name for operation in _CALCULATES]
        yield number, label, parts


def assemble(text, *, values, places, free):
    """Translate a microprogram.

    A NOP is inserted where an instruction would read a word directly behind the instruction that writes it, use the
    index directly behind its load, or test for 0 directly behind a change of the accumulator. (A label there is that of the
    instruction, not of the NOP: branches leave a bubble.)

    Parameters
    ----------
    text : str
        The listing.
    values : dict of str to int
        Names that constants may use.
    places : dict of str to int
        Words of the RAM with a given address; other names get one in the order of their appearance.
    free : sequence of int
        Words for those.

    Raises
    ------
    AssemblyError
        A line that is none, or more words than there are.
    """
    lines = list(_spaced(_lines(text)))
    labels, address = {}, 0
    for number, label, parts in lines:
        if label:
            if label in labels:
                raise AssemblyError(f"Line {number}: label must be new, not {label!r}")
            labels[label] = address
        address += bool(parts)
    if address > PROGRAM_WORDS:
        raise AssemblyError(f"Microprogram must be at most {PROGRAM_WORDS} instructions, not {address}")
    memory, constants, words = dict(places), {}, []

    def word_of(name):
        if name.startswith("="):
            name = f"={(values[name[1:]] if name[1:] in values else int(name[1:], 0)) & 0xFFFF_FFFF}"
        if name not in memory:
            used = len(memory) - len(places)
            if used == len(free):
                raise AssemblyError(f"Microprogram must use at most {len(free)} words; {name!r} is one more")
            memory[name] = free[used]
            if name.startswith("="):
                constants[memory[name]] = int(name[1:])
        return memory[name]

    for number, _, parts in lines:
        if not parts:
            continue
        name, *arguments = parts
        if len(arguments) > 1:
            raise AssemblyError(f"Line {number}: at most one argument, not {arguments}")
        argument = arguments[0] if arguments else ""
        try:
            if name in _BRANCHES:
                code, place = Operation.BRANCH + _BRANCHES[name], labels[argument] if name != "RET" else 0
            elif name in Action.__members__:
                action = Action[name]
                code, place = Operation.DO + (INDIRECT if action in _INDEXED_ACTIONS else 0), int(action)
            elif name.endswith("X") and name[:-1] in Operation.__members__:
                code, place = Operation[name[:-1]] + INDIRECT, 0
            else:
                operation = Operation[name]
                code, place = operation, word_of(argument) if operation in _INDEXED else 0
        except (KeyError, ValueError) as error:
            raise AssemblyError(f"Line {number}: unknown name {error}") from None
        words.append(code << ARGUMENT_WIDTH | place)
    return Program(tuple(words), labels, constants, len(memory) - len(places))
