"""What a proof is: a bench, how it is decided, and a mutant that it must refute."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

from .bench import Bench
from .engine import Outcome, decide
from .mutation import Mutant, mutated

__all__ = ["Proof", "Result", "run_proof"]


@dataclass(frozen=True, kw_only=True)
class Proof:
    """A property of a component.

    Attributes
    ----------
    name : str
        Name, unique.
    claim : str
        What is proved, in words.
    module : str
        Module of the package ``systolith`` that it is about.
    build : callable
        Adds component, assumptions and checks to a :class:`Bench`.
    mutant : Mutant
        Fault with which the proof must fail.
    bound : int or None
        Cycles from the reset state; None: any number of cycles.
    complete : str
        For a bounded proof, why nothing is lost by the bound; empty otherwise.
    unroll : bool
        See :func:`~systolith_formal.engine.decide`.
    reset : bool
        A reset may come at any time.
    slow : bool
        Takes more than a few seconds.
    limit : int
        Seconds until the engine gives up.
    """

    name: str
    claim: str
    module: str
    build: Callable[[Bench], None]
    mutant: Mutant
    bound: int | None = None
    complete: str = ""
    unroll: bool = False
    reset: bool = True
    slow: bool = False
    limit: int = 60

    @property
    def method(self):
        """Method in words."""
        if self.bound is None:
            return "inductive"
        return f"{self.bound} cycles" + (f" ({self.complete})" if self.complete else "")

    def decide(self, broken=False):
        """Outcome for the component, or for its mutant.

        Parameters
        ----------
        broken : bool

        Returns
        -------
        Outcome
        """
        with mutated(self.mutant) if broken else nullcontext():
            return decide(Bench(self.build, reset=self.reset), bound=self.bound, unroll=self.unroll,
                          limit=self.limit)


@dataclass(frozen=True, kw_only=True)
class Result:
    """Outcomes of a proof and of its mutant."""

    proof: Proof
    outcome: Outcome
    mutant: Outcome

    @property
    def passed(self):
        """The proof holds and its mutant is refuted."""
        return self.outcome.holds is True and self.mutant.holds is False


def run_proof(proof):
    """Decide a proof and its mutant."""
    return Result(proof=proof, outcome=proof.decide(), mutant=proof.decide(broken=True))
