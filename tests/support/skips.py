"""A line about what a run has skipped, with the commands that would make it run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

#: Commands that take many names, so that one of each will do.
INSTALLERS = ('apt-get install ', 'pip install ')


def summarize(reasons: Iterable[str]) -> str:
    """Return how many tests were skipped, by the command that each reason ends with."""
    counts: Counter[str] = Counter()
    names: dict[str, set[str]] = {}
    for reason in reasons:
        installer, wanted = _command_of(reason)
        counts[installer] += 1
        names.setdefault(installer, set()).update(wanted)
    parts = [f'{count} want {installer}{" ".join(sorted(names[installer]))}'.rstrip()
             for installer, count in counts.most_common()]
    return f'{sum(counts.values())} skipped: {"; ".join(parts)}'


def _command_of(reason: str) -> tuple[str, list[str]]:
    command = reason.splitlines()[0].removeprefix('Skipped: ').rpartition(': ')[2]
    for installer in INSTALLERS:
        if command.startswith(installer):
            return installer, command.removeprefix(installer).split()
    has_command = command.startswith(('python -m pytest', 'install '))
    return (command, []) if has_command else ('what -rs says', [])
