"""Coverage-guided fuzzing of everything that reads a peer's bytes, with atheris.

    pip install atheris                                   # has wheels for CPython 3.11 to 3.13, on Linux
    python -m tests.fuzz frames --seconds 60
    python -m tests.fuzz --hours 2                        # every target in turn, each for two hours
    python -m tests.fuzz frames .fuzz/frames/crash-...    # one input again, with the traceback
    python -m tests.fuzz.seeds                            # writes the corpus anew

``targets`` has the rules that an input must not break, ``seeds`` what the search begins with. What a search finds is kept in
``.fuzz``. An input that broke a rule becomes a row of ``seeds.REGRESSIONS``, which
``tests/properties/test_fuzz.py`` replays with the rest of the corpus in every run of the tests, without atheris.
"""

from __future__ import annotations

from pathlib import Path

#: What a search begins with: a folder for each target.
CORPUS = Path(__file__).parent / 'corpus'
