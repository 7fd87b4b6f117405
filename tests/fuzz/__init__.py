"""Coverage-guided fuzzing of everything that parses a peer's bytes, with atheris.

    pip install atheris                                  # Linux, CPython 3.11-3.13
    python -m tests.fuzz frames --seconds 60
    python -m tests.fuzz --hours 2                       # each target for two hours
    python -m tests.fuzz frames .fuzz/frames/crash-...   # one input, with the traceback
    python -m tests.fuzz.seeds                           # write the corpus anew

``targets`` has the rules that no input may break, and ``seeds`` the inputs with which a
search begins. The inputs that a search finds are kept in ``.fuzz``. An input that broke
a rule becomes a row of ``seeds.REGRESSIONS``. ``tests/properties/test_fuzz.py`` replays
it, with the rest of the corpus, in every run of the tests, without atheris.
"""

from __future__ import annotations

from pathlib import Path

#: The inputs with which a search begins: a folder for each target.
CORPUS = Path(__file__).parent / 'corpus'
