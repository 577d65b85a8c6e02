"""One run of resolvelib over the index: in a thread, and again without each candidate that turns out useless."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import resolvelib
from packaging.utils import NormalizedName
from packaging.version import Version

from pyti.config import IndexSettings
from pyti.errors import ResolutionImpossible
from pyti.index.bridge import LoopBridge, run_in_thread
from pyti.index.explanation import explain
from pyti.index.metadata import StaticMetadata
from pyti.index.page import ProjectPage
from pyti.index.provider import Candidate, IndexProvider, Key, Unusable, Want
from pyti.index.sources import Sources
from pyti.index.target import Target

__all__ = ["Metadata", "Solution", "Solver"]

MAX_RESTARTS = 25
"""Candidates that may turn out unusable before a resolution is given up."""
ANSWER_LIMIT_S = 1800.0
"""Bound of one question of the resolver to the loop; the longest is a guest that prepares metadata."""

Metadata = Callable[[Candidate], Coroutine[Any, Any, StaticMetadata]]
"""Get a dependency's metadata, or raise ``Unusable``."""


@dataclass
class Solution:
    """The candidates that one set of requirements resolved to, the root apart."""

    chosen: dict[NormalizedName, Candidate] = field(default_factory=dict)


class Solver:
    """Runs resolutions, counts them, and remembers what is of no use."""

    def __init__(self, sources: Sources, target: Target, settings: IndexSettings, note: Callable[[str], None]) -> None:
        self._sources = sources
        self._target = target
        self._settings = settings
        self._note = note
        self._excluded: dict[str, str] = {}
        self.rounds = 0
        self.tried = 0

    async def solve(
        self,
        demands: Sequence[Want],
        asked_by: str,
        *,
        metadata: Metadata,
        root: StaticMetadata | None,
        pins: Mapping[NormalizedName, Version],
        lasting: bool,
    ) -> Solution:
        """Resolve ``demands``; ``asked_by`` names who makes them. ``pins`` allow one version each.

        What turns out to be of no use is remembered and noted if ``lasting``, else forgotten afterwards. Raises
        ``ResolutionImpossible`` with an explanation, and the errors of pages and ``metadata``.
        """
        excluded = dict(self._excluded)
        for _ in range(MAX_RESTARTS):
            outcome = await self._attempt(demands, asked_by, metadata, root, pins, excluded)
            if isinstance(outcome, Solution):
                return outcome
            file = outcome.candidate.file
            filename = file.filename if file else str(outcome.candidate)
            excluded[filename] = outcome.reason
            if lasting:
                self._excluded[filename] = outcome.reason
                self._note(f"{filename} was passed over: {outcome.reason}")
        raise ResolutionImpossible(f"{asked_by}: more than {MAX_RESTARTS} candidates are of no use.")

    async def _attempt(
        self,
        demands: Sequence[Want],
        asked_by: str,
        metadata: Metadata,
        root: StaticMetadata | None,
        pins: Mapping[NormalizedName, Version],
        excluded: Mapping[str, str],
    ) -> Solution | Unusable:
        origin = Candidate(root.name, root.version) if root else None

        def ahead(names: Sequence[NormalizedName], candidates: Sequence[Candidate]) -> None:
            self._sources.prefetch([name for name in names if origin is None or name != origin.name], candidates)

        def think(bridge: LoopBridge) -> Solution | Unusable:
            def pages(name: NormalizedName) -> ProjectPage | None:
                return bridge.call(lambda: self._sources.page(name))

            def described(candidate: Candidate) -> StaticMetadata:
                if candidate.file is None and root is not None:
                    return root
                return bridge.call(lambda: metadata(candidate))

            provider = IndexProvider(
                target=self._target,
                root=origin,
                pages=pages,
                metadata=described,
                prefetch=lambda names, candidates: bridge.tell(lambda: ahead(names, candidates)),
                pins=pins,
                excluded=excluded,
                prereleases=self._settings.prereleases,
            )
            try:
                return self._think(provider, demands, asked_by)
            finally:
                self.tried += provider.tried

        ahead([want.name for want in demands], ())
        self.rounds += 1
        return await run_in_thread(think, limit_s=ANSWER_LIMIT_S)

    def _think(self, provider: IndexProvider, demands: Sequence[Want], asked_by: str) -> Solution | Unusable:
        """Run resolvelib; in the thread."""
        resolver = resolvelib.Resolver(provider, resolvelib.BaseReporter[Want, Candidate, Key]())
        try:
            result = resolver.resolve(demands, max_rounds=self._settings.max_candidates)
        except Unusable as unusable:
            return unusable
        except resolvelib.ResolutionImpossible as error:
            text = explain(error.causes, provider.considered, asked_by)
            raise ResolutionImpossible(
                f"the requirements of {asked_by} cannot be met together:\n{text}",
                remedy="Choose another version, or an image with another Python.",
            ) from None
        except resolvelib.ResolutionTooDeep:
            raise ResolutionImpossible(
                f"the requirements of {asked_by} were not resolved within {self._settings.max_candidates} steps.",
                remedy="Raise index.max_candidates.",
            ) from None
        chosen = {key[0]: found for key, found in result.mapping.items() if not key[1] and found.file is not None}
        return Solution(chosen)
