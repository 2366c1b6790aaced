"""The microprogram: how the commands are executed.

It reads a command by one burst, checks its header, takes its tokens, executes it, gives its tokens, and goes on. Loops
over rows of a window walk, over runs and bursts of transfers and over outputs are here; what happens within a row, a burst
and the scaling of an output is hardware. Words of the RAM with names in capitals are registers of the host's or words of the
command (``W0`` to ``W15``).
"""

from systolith_spec.micro_assembler import assemble
from systolith_spec.registers import REGISTERS, ErrorCode

__all__ = [
    "COMMAND_WORD", "PARAMETER_WORD", "TABLE_ENTRY_WORDS", "TABLE_WORD", "TOKEN_WORD", "burst_bytes", "microprogram",
]

COMMAND_WORD = 64
"""First word of the command; below are the registers by their offset."""
TOKEN_WORD = 80
"""First of 16 token counters, by producer, then consumer."""
TABLE_WORD = 96
"""First word of the lane tables."""
TABLE_ENTRY_WORDS = 3
"""Bias, exponent, multiplier."""
PARAMETER_WORD = 256
"""First word of the parameter buffer."""
_FIRST_FREE = 56  # behind the registers
_LOAD, _COMPUTE, _VECTOR, _STORE, _SELF = 0, 1, 2, 3, 15


def burst_bytes(config):
    """Bytes of the largest burst, a power of two; bursts end at multiples of it."""
    return 1 << ((config.burst_beats * config.axi_bytes).bit_length() - 1)


_LISTING = """
reset:  LD =0
        ST BASE
        ST PROGRAM
        ST LIMIT
        ST WATCHDOG
        ST WRITABLE
        ST CYCLES
        ST BYTES_READ
        ST BYTES_WRITTEN
        ST COMMANDS
        OPEN
idle:   BS idle
        LD BASE
        AND =0xFFFFF000
        ST base
        LD LIMIT
        ST limit
        LD PROGRAM
        AND =0xFFFFFFC0
        ST offset
        LD WRITABLE
        ST writable
        OPEN
        ST flimit               ; commands come from below what programs write
        BZ whole
        LD limit
        BZ fresh
        LD writable
        SUB limit
        BC fresh
whole:  LD limit
        ST flimit
fresh:  LD =0
        ST last
        ST CYCLES
        ST BYTES_READ
        ST BYTES_WRITTEN
        ST COMMANDS
        ST where
        LD =16
        ST count
        LD =TOKEN_WORD
        INDEX
clear:  LD =0
        STX
        LD count
        SUB =1
        ST count
        BNZ clear
settle: BO fetch                ; what an earlier run left behind
        BQ settle
        REST
        BA aborted
        STC now
        CALL drain_limit
        BC settle
        JMP expired

; One command.
fetch:  LD flimit
        BZ free
        SUB =64
        BC beyond
        SUB offset
        BC beyond
free:   LD base
        ADD offset
        ST where
        LD =COMMAND_WORD
        INDEX
        LD =2
        TARGET
        LD =64
        LENGTH
        LD where
        BURST
        LD BYTES_READ
        ADD =64
        ST BYTES_READ
fwait:  WAIT_BURST
        BO fetched
        CALL check
        JMP fwait
beyond: LD base
        ADD offset
        ST where
        LD =E_SELF_RANGE
        JMP fail
bad:    LD =E_SELF_BAD
        JMP fail
ferror: LD =E_SELF_READ
        JMP response
fetched: BE ferror
        LD W0
        AND =15
        ST opcode
        BZ end
        SUB =1
        ST engine
        BZ is_load
        SUB =1
        BZ is_compute
        SUB =1
        BZ is_vector
        SUB =1
        BZ is_params
        SUB =1
        BNZ bad
        LD =3
        ST engine
        LD W0
        AND =0x880
        BNZ bad
        JMP take
is_params: LD =2
        ST engine
is_vector: LD W0
        AND =0x440
        BNZ bad
        JMP take
is_compute: LD W0
        AND =0x220
        BNZ bad
        JMP take
is_load: LD W0
        AND =0x110
        BNZ bad
        LD W0
        AND =0x3000000
        SUB =0x3000000
        BZ bad
; Tokens: counter (producer, consumer).
take:   LD W0
        AND =0xF0
        BZ taken
        LD =TOKEN_WORD
        ADD engine
        ST token
        LD =0x10
        ST mask
takes:  AND W0
        BZ take_next
        LD token
        INDEX
        NOP
        LDX
        BZ starve
        SUB =1
        ST count
        LD token
        INDEX
        LD count
        STX
take_next: LD token
        ADD =4
        ST token
        LD mask
        ADD mask
        ST mask
        SUB =0x100
        BZ taken
        LD mask
        JMP takes
starve: BQ starve               ; no later command can give it
        CALL check
        JMP starve
taken:  LD opcode
        SUB =1
        BZ load
        SUB =1
        BZ compute
        SUB =1
        BZ vector
        SUB =1
        BZ params
        JMP store

retired: STC last
        LD COMMANDS
        ADD =1
        ST COMMANDS
        LD W0
        AND =0xF00
        BZ given
        LD engine               ; four counters for each producer
        ADD engine
        ADD engine
        ADD engine
        ADD =TOKEN_WORD
        ST token
        LD =0x100
        ST mask
gives:  AND W0
        BZ give_next
        LD token
        INDEX
        NOP
        LDX
        SUB =0xFFFF
        BZ overflow
        ADD =0x10000
        ST count
        LD token
        INDEX
        LD count
        STX
give_next: LD token
        ADD =1
        ST token
        LD mask
        ADD mask
        ST mask
        SUB =0x1000
        BZ given
        LD mask
        JMP gives
given:  STC CYCLES
        LD offset
        ADD =64
        ST offset
        BQ fetch
        CALL check
        JMP fetch

overflow: LD =0
        ST where
        LD engine
        BZ overflow_0
        SUB =1
        BZ overflow_1
        SUB =1
        BZ overflow_2
        LD =E_OVERFLOW_3
        JMP fail
overflow_0: LD =E_OVERFLOW_0
        JMP fail
overflow_1: LD =E_OVERFLOW_1
        JMP fail
overflow_2: LD =E_OVERFLOW_2
        JMP fail

end:    STC CYCLES
        DONE
        NOP
        JMP idle

; Something needs attention: the tick of the watchdog, or the host.
check:  REST
        BA aborted
        STC now
        LD WATCHDOG
        BZ checked
        LD now
        SUB last
        SUB WATCHDOG
        BNC expired
checked: RET

aborted: LD =0
        ST where
        LD =E_ABORT
        JMP fail
expired: LD =0
        ST where
        LD =E_WATCHDOG
        JMP fail

; Error `a` with its response.
response: BD decode
        ADD =0x2000
        JMP fail
decode: ADD =0x3000
; The run ends with error `a` at `where`.
fail:   ST ERROR
        LD where
        ST ERROR_ADDRESS
        KILL
        STC last
drain:  BO drained
        BQ drain
        REST
        STC now
        CALL drain_limit
        BC drain
drained: STC CYCLES
        FAILED
        NOP
        JMP idle

; Carry: the burst that is under way may take longer.
drain_limit: LD WATCHDOG
        BNZ limited
        LD =65536
limited: ST count
        LD now
        SUB last
        SUB count
        RET

; LOAD and STORE.
load:   LD =0
        ST storing
        LD W0
        SHR
        SHR
        SHR
        AND =3
        JMP transfer
store:  LD =3
        ST storing
transfer: TARGET
        LD =4
        STEP
        LD W1
        ST memory
        ST outer_memory
        LD W2
        ST buffer
        ST outer_buffer
        LD W3
        AND =0xFFFFFF
        ST length
        BZ range
        LD limit
        SUB length
        ST highest
        BNC fits
        LD limit
        BNZ range
fits:   LD W4
        SHR
        SHR
        ST count_2
outer:  LD W4
        AND =0xFFFF
        ST count_1
run:    LD highest
        SUB memory
        BC range
        LD storing
        BZ open
        LD memory
        SUB writable
        BC range
open:   LD base
        ADD memory
        ST address
        LD length
        ST left
        LD buffer
        ST place
burst:  BQ next
        CALL check
next:   LD address
        ST where
        AND =BURST_MASK
        ST count
        LD =BURST_BYTES
        SUB count
        ST size
        LD left
        SUB size
        BNC sized
        LD left
        ST size
sized:  LD size
        LENGTH
        LD address
        AND =3
        ST first
        LD storing
        BNZ from
        LD place
        WRITE_ADDRESS
        WEIGHT_ADDRESS
        INDEX_WORDS
        JMP begin
from:   LD place
        SUB first
        READ_ADDRESS
begin:  LD address
        BURST
        ADD size
        ST address
        LD place
        ADD size
        ST place
        LD left
        SUB size
        ST left
        LD first
        ADD size
        ADD =3
        AND =0xFFFFFFFC
        ST size
        LD storing
        BNZ out
        LD BYTES_READ
        ADD size
        ST BYTES_READ
bwait:  WAIT_BURST
        BO over
        CALL check
        JMP bwait
out:    LD BYTES_WRITTEN
        ADD size
        ST BYTES_WRITTEN
        JMP bwait
over:   BE berror
        LD left
        BNZ burst
        LD count_1
        SUB =1
        ST count_1
        BZ inner
        LD memory
        ADD W5
        ST memory
        LD buffer
        ADD W6
        ST buffer
        JMP run
inner:  LD count_2
        SUB =1
        ST count_2
        BZ moved
        LD outer_memory
        ADD W7
        ST outer_memory
        ST memory
        LD outer_buffer
        ADD W8
        ST outer_buffer
        ST buffer
        JMP outer
moved:  LD storing
        BNZ stored
        LD W0
        RETIRE_LOAD
        JMP retired
stored: LD W0
        RETIRE_STORE
        JMP retired
berror: LD storing
        BNZ werror
        LD =E_LOAD_READ
        JMP response
werror: LD =E_STORE_WRITE
        JMP response
range:  LD base
        ADD memory
        ST where
        LD storing
        BNZ srange
        LD =E_LOAD_RANGE
        JMP fail
srange: LD =E_STORE_RANGE
        JMP fail

; What COMPUTE and VECTOR have in common: the slab and its rows.
slab:   LD W4
        AND =0xFFFFFF
        ST row_bytes
        LD W1
        SHR
        SHR
        SHR
        PAD
        LD W2
        SHR
        SHR
        ST rows
        LD W2                   ; sign of first_row
        AND =0xFFFF
        ADD =0x8000
        AND =0xFFFF
        SUB =0x8000
        ST first_row
        LD W5
        AND =0xFFFF
        ST y_count
        LD W5
        SHR
        SHR
        ST y_step
        LD W7
        AND =0xFFFF
        ST x_count
        LD W7
        SHR
        SHR
        AND =0xFF
        ST ky_count
        LD W7
        SHR
        SHR
        SHR
        ST kx_count
        LD W8
        SHR
        SHR
        SHR
        ST ky_step
        RET

; Until all sums and results are written.
sync:   SYNC
        BQ synced
        CALL check
        JMP sync
synced: RET

compute: CALL slab
        LD x_count
        POSITIONS
        LD W8
        STEP
        LD =0
        MODE
        LD W12
        WEIGHT_ADDRESS
        LD W13
        AND =0xFFFF
        ST blocks
        LD W11
        SHR
        SHR
        ST entry
block:  LD W0
        ST kept
        LD first_row
        ST ky_row
        LD W1
        ST ky_address
        LD ky_count
        ST ky_left
ky:     LD kx_count
        ST kx_left
        LD W3
        ST kx_byte
kx:     LD W11
        AND =0xFFFF
        ST chunks
        LD kx_byte
        ST byte
tile:   CALL sync
        LOAD_TILE
        LD entry
        ENTRY
        LD kept
        ACCUMULATE
        LD =0x1000000
        ST kept
        LD byte
        LOW
        SUB row_bytes
        HIGH
        LD ky_row
        ST row
        LD ky_address
        ADD byte
        ST address
        LD y_count
        ST y
line:   LD row
        SUB rows
        ROW
lwait:  WAIT_WALK
        BQ walk
        CALL check
        JMP lwait
walk:   LD address
        WALK
        ADD W6
        ST address
        LD row
        ADD y_step
        ST row
        LD y
        SUB =1
        ST y
        BNZ line
        LD byte
        ADD =ROWS
        ST byte
        LD chunks
        SUB =1
        ST chunks
        BNZ tile
        LD kx_byte
        ADD W10
        ST kx_byte
        LD kx_left
        SUB =1
        ST kx_left
        BNZ kx
        LD ky_row
        ADD ky_step
        ST ky_row
        LD ky_address
        ADD W9
        ST ky_address
        LD ky_left
        SUB =1
        ST ky_left
        BNZ ky
        LD W13
        SHR
        SHR
        ADD entry
        ST entry
        LD blocks
        SUB =1
        ST blocks
        BNZ block
        CALL sync
        LD W0
        RETIRE_COMPUTE
        JMP retired

; VECTOR.
vector: CALL slab
        LD W6
        SHR
        SHR
        SHR
        ZERO_OUT
        LD W9
        SHR
        SHR
        SHR
        MINIMUM
        LD W10
        SHR
        SHR
        SHR
        MAXIMUM
        LD W0
        SHR
        SHR
        SHR
        ROUNDING
        LD W0
        AND =0x8000000
        ST follow
        CALL bank
        LD W11
        AND =0xFFFFFF
        ST channels
        LD W12
        ST line_place
        LD W0
        AND =0x1000000
        BNZ window
        LD =0x1000000
        ACCUMULATE
        LD W1
        ST entry
ay:     LD line_place
        ST place
        LD x_count
        ST x
ax:     BQ asome
        CALL check
asome:  LD place
        WRITE_ADDRESS
        LD table
        INDEX
        ST table_place
        LD channels
        ST left
        LD entry
        ST address
ablock: ENTRY
        LD left
        SUB =COLS
        BC apart
        ST left
        LD =COLS
        JMP acount
apart:  LD left
        ST count
        LD =0
        ST left
        LD count
acount: BZ anext                ; no channels: refused by the machine model
        ST count
        LD follow
        BNZ afollow
aeach:  LDC
        ADDX
        EXPONENT
        SCALE
        LD count
        SUB =1
        ST count
        BNZ aeach
        LD left
        BNZ amore
anext:  LD entry
        ADD =1
        ST entry
        LD place
        ADD W14
        ST place
        LD x
        SUB =1
        ST x
        BNZ ax
        LD line_place
        ADD W13
        ST line_place
        LD y_count
        SUB =1
        ST y_count
        BNZ ay
        JMP vretire
amore:  BQ aquiet
        CALL check
aquiet: LD table_place
        ADD =BLOCK_WORDS
        ST table_place
        SUB table_end
        BNZ aindex
        LD table
        ST table_place
aindex: LD table_place
        INDEX
        LD W15
        AND =0xFFFF
        ADD address
        ST address
        JMP ablock
afollow: LDC
        CALL scale
        LD count
        SUB =1
        ST count
        BNZ afollow
        LD left
        BNZ amore
        JMP anext
vretire: CALL sync
        LD W0
        RETIRE_VECTOR
        JMP retired

; Scale a sum, the sign of whose bias may be its own.
scale:  ST sum
        LD follow
        BZ plain
        LD sum
        BNN positive
        SUBX
        JMP scaled
plain:  LD sum
positive: ADDX
scaled: EXPONENT
        SCALE
        RET

; Table of the bank of the command, and its end.
bank:   LD W0
        AND =0x40000000
        BNZ bank_1
        LD =TABLE_0
        ST table
        LD =TABLE_1
        ST table_end
        RET
bank_1: LD =TABLE_1
        ST table
        LD =TABLE_2
        ST table_end
        RET

; Windows of the activation buffer.
window: LD W10
        STEP
        LD kx_count
        POSITIONS
        LD W3                   ; zero point of the elements, for all of a window if they are added
        SHR
        SHR
        SHR
        ADD =0x80
        AND =0xFF
        SUB =0x80
        ST zero
        LD W0
        AND =0x2000000
        BNZ maximum
        LD =1
        MODE
        LD =0
        ST sum
        LD kx_count
        BZ windows
zx:     ST x
        LD sum
        ADD zero
        ST sum
        LD x
        SUB =1
        BNZ zx
        ST zero
        LD ky_count
        BZ windows
zy:     ST y
        LD zero
        ADD sum
        ST zero
        LD y
        SUB =1
        BNZ zy
        JMP windows
maximum: LD =3
        MODE
windows: LD W1
        ST entry
wy:     LD line_place
        ST place
        LD W3
        ST x_byte
        LD x_count
        ST x
wx:     LD place
        WRITE_ADDRESS
        LD table
        INDEX
        ST table_place
        LD channels
        ST left
        LD x_byte
        ST byte
wc:     LOW
        SUB row_bytes
        HIGH
        CLEAR
        LD first_row
        ST row
        LD entry
        ADD byte
        ST address
        LD ky_count
        ST ky_left
wk:     LD row
        SUB rows
        ROW
wwait:  WAIT_WALK
        BQ wwalk
        CALL check
        JMP wwait
wwalk:  LD address
        WALK
        ADD W9
        ST address
        LD row
        ADD ky_step
        ST row
        LD ky_left
        SUB =1
        ST ky_left
        BNZ wk
wdone:  WAIT_WALK
        BQ wscale
        CALL check
        JMP wdone
wscale: LDR
        SUB zero
        CALL scale
        LD left
        SUB =1
        ST left
        BZ wnext
        LD table_place
        ADD =ENTRY_WORDS
        ST table_place
        SUB table_end
        BNZ wkeep
        LD table
        ST table_place
        INDEX
wkeep:  LD byte
        ADD =1
        ST byte
        JMP wc
wnext:  LD place
        ADD W14
        ST place
        LD x_byte
        ADD W8
        ST x_byte
        LD x
        SUB =1
        ST x
        BNZ wx
        LD line_place
        ADD W13
        ST line_place
        LD first_row
        ADD y_step
        ST first_row
        LD entry
        ADD W6
        ST entry
        LD y_count
        SUB =1
        ST y_count
        BNZ wy
        JMP vretire

; PARAMS.
params: CALL bank
        LD W0
        AND =0x1000000
        ST bias_given
        LD W0
        AND =0x2000000
        ST scale_given
        ADD bias_given
        SUB =0x3000000
        BZ all
        LD W2
        AND =0xFFFF
        ST count
        BZ pretire
        SUB =GROUPS
        BC some
all:    LD =GROUPS
        ST count
some:   LD W1                   ; places in bytes
        ADD W1
        ST bias_place
        NOP
        ADD bias_place
        ST bias_place
        LD W1
        SHR
        SHR
        ST sum
        NOP
        ADD sum
        ADD sum
        ADD sum
        ST scale_place
pbias:  LD bias_given
        BZ pload
        LD W3
        JMP pscale
pload:  LD bias_place
        INDEX_WORDS
        ADD =4
        ST bias_place
        LDX
pscale: ST bias
        LD scale_given
        BZ pscales
        LD W4
        ST multiplier
        LD W5
        JMP pstore
pscales: LD scale_place
        INDEX_WORDS
        ADD =8
        ST scale_place
        LDX
        ST multiplier
        LDX
pstore: ST exponent
        LD table
        INDEX
        ADD =ENTRY_WORDS
        ST table
        LD bias
        STX
        LD exponent
        STX
        LD multiplier
        STX
        LD count
        SUB =1
        ST count
        BNZ pbias
pretire: LD W0
        RETIRE_VECTOR
        JMP retired
"""


def microprogram(config):
    """Return the :class:`~systolith_spec.micro_assembler.Program` for a configuration."""
    table = config.parameter_groups * TABLE_ENTRY_WORDS
    tables = [TABLE_WORD + bank * table for bank in range(3)]

    def error(code, engine):
        return int(code) | engine << 8

    values = {
        "COMMAND_WORD": COMMAND_WORD, "TOKEN_WORD": TOKEN_WORD, "ENTRY_WORDS": TABLE_ENTRY_WORDS,
        "BLOCK_WORDS": TABLE_ENTRY_WORDS * config.cols, "GROUPS": config.parameter_groups,
        "ROWS": config.rows, "COLS": config.cols, "BURST_BYTES": burst_bytes(config), "BURST_MASK": burst_bytes(config) - 1,
        **{f"TABLE_{bank}": address for bank, address in enumerate(tables)},
        "E_SELF_RANGE": error(ErrorCode.OUT_OF_RANGE, _SELF), "E_SELF_BAD": error(ErrorCode.BAD_COMMAND, _SELF),
        "E_SELF_READ": error(ErrorCode.READ_RESPONSE, _SELF),
        **{f"E_OVERFLOW_{engine}": error(ErrorCode.TOKEN_OVERFLOW, engine) for engine in range(4)},
        "E_ABORT": error(ErrorCode.NONE, _SELF), "E_WATCHDOG": error(ErrorCode.WATCHDOG, _SELF),
        "E_LOAD_READ": error(ErrorCode.READ_RESPONSE, _LOAD), "E_LOAD_RANGE": error(ErrorCode.OUT_OF_RANGE, _LOAD),
        "E_STORE_WRITE": error(ErrorCode.WRITE_RESPONSE, _STORE), "E_STORE_RANGE": error(ErrorCode.OUT_OF_RANGE, _STORE),
    }
    places = {entry.name: entry.offset // 4 for entry in REGISTERS}
    places |= {f"W{index}": COMMAND_WORD + index for index in range(16)}
    free = (*range(_FIRST_FREE, COMMAND_WORD), *range(tables[2], PARAMETER_WORD))
    return assemble(_LISTING, values=values, places=places, free=free)
