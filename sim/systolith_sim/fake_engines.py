"""Engines that execute nothing: they accept commands and retire them after random delays."""

import random
from collections import Counter, deque

from systolith_spec.commands import Engine, decode, encode

__all__ = ["FakeEngines", "random_program"]


class FakeEngines:
    """Stand-ins for the four engines of a command processor, and a check of the token order.

    Parameters
    ----------
    ports : sequence of EnginePort interfaces
    seed : int
    longest : int
        Cycles from acceptance to retirement, at most.
    stall : float
        Probability, each cycle, that an engine does not accept a command.
    in_flight : int
        Commands an engine accepts before it has retired the first.
    hang : set of Engine
        Engines that never retire.

    Attributes
    ----------
    accepted : list of list of bytes
        Commands of each engine in order.
    retired : list of (int, int)
        Cycle and engine of each retirement.
    """

    def __init__(self, ports, *, seed=0, longest=20, stall=0.3, in_flight=4, hang=()):
        self._ports = ports
        self._rng = random.Random(seed)
        self._longest = longest
        self._stall = stall
        self._in_flight = in_flight
        self.hang = set(hang)
        self.forget()

    def forget(self):
        """Drop everything, as a reset does."""
        self.accepted = [[] for _ in Engine]
        self.retired = []
        self._running = [deque() for _ in Engine]
        self._tokens = Counter()

    def engine(self, index, reset):
        """Background testbench of one engine; ``reset`` drops its commands."""
        port = self._ports[index]

        async def run_engine(ctx):
            cycle = 0
            while True:
                running = self._running[index]
                room = len(running) < self._in_flight
                ready = room and not self._rng.random() < self._stall
                retires = bool(running) and running[0][0] <= cycle and Engine(index) not in self.hang
                ctx.set(port.command.ready, ready)
                ctx.set(port.busy, bool(running))
                ctx.set(port.retire, retires)
                _, _, valid, payload, in_reset = await ctx.tick().sample(
                    port.command.valid, port.command.payload, reset)
                cycle += 1
                if in_reset:
                    running.clear()
                    continue
                # Acceptance needs tokens given in earlier cycles, hence before this cycle's retirement.
                if valid and ready:
                    self._accept(index, payload.to_bytes(64, "little"), cycle)
                if retires:
                    _, fields = running.popleft()
                    self.retired.append((cycle, index))
                    for consumer in Engine:
                        if fields["signal"] >> consumer & 1:
                            self._tokens[index, consumer, "given"] += 1

        return run_engine

    def _accept(self, index, command, cycle):
        _, fields = decode(command)
        for producer in Engine:
            if fields["wait"] >> producer & 1:
                self._tokens[producer, index, "taken"] += 1
                given, taken = (self._tokens[producer, index, kind] for kind in ("given", "taken"))
                assert taken <= given, f"{Engine(index).name} took token {taken} of {producer.name}, " \
                                       f"which has given {given}"
        self.accepted[index].append(command)
        self._running[index].append((cycle + self._rng.randint(0, self._longest), fields))

    @property
    def idle(self):
        """No command is running."""
        return not any(self._running)


def random_program(length, *, seed, layers=4096):
    """Random commands whose tokens allow them to run in program order; END is not included.

    Returns
    -------
    list of bytes
    """
    rng = random.Random(seed)
    names = {"LOAD": Engine.LOAD, "COMPUTE": Engine.COMPUTE, "VECTOR": Engine.VECTOR, "PARAMS": Engine.VECTOR,
             "STORE": Engine.STORE}
    tokens = Counter()
    commands = []
    for _ in range(length):
        name = rng.choice(list(names))
        engine = names[name]
        others = [other for other in Engine if other != engine]
        wait = sum(1 << other for other in others if tokens[other, engine] and rng.random() < 0.7)
        signal = sum(1 << other for other in others if rng.random() < 0.3)
        for other in others:
            tokens[other, engine] -= wait >> other & 1
            tokens[engine, other] += signal >> other & 1
        command = bytearray(encode(name, wait=wait, signal=signal, layer=rng.randrange(layers)))
        command[4:] = rng.randbytes(60)
        commands.append(bytes(command))
    return commands
