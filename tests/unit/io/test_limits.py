"""The options that bound a connection: their least values, and their errors."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from faye_websocket.io.limits import LONGEST, Limits, bound_time, make_limits

LEAST = {'max_length': 0, 'max_fragments': 1, 'close_timeout': 0, 'max_buffered': 0, 'max_queue': 1, 'max_queued': 0}
SECONDS = ['ping', 'ping_timeout']


def test_have_the_documented_defaults() -> None:
    assert make_limits()._asdict() == {
        'max_length': 2**26 - 1, 'max_fragments': 16384, 'ping': None, 'ping_timeout': None, 'close_timeout': 10,
        'max_buffered': 2**24, 'overflow': 'close', 'max_queue': 64, 'max_queued': 2**24, 'low_water': 65536}


def limits_with(name: str, value: Any) -> Limits:
    """Return the limits with one of them set."""
    return make_limits(**{name: value})


@pytest.mark.parametrize(('name', 'least'), LEAST.items())
def test_accept_the_minimum_and_more(name: str, least: int) -> None:
    values = (2**20,) if name == 'close_timeout' else (2**40, 2**70, 1e300, inf)
    for value in least, least + 1, least + 0.5, *values:
        assert getattr(limits_with(name, value), name) == value


@pytest.mark.parametrize(('name', 'least'), LEAST.items())
@pytest.mark.parametrize('below', [1, 0.5, nan])
def test_refuse_less_than_the_minimum(name: str, least: int, below: float) -> None:
    with pytest.raises(ValueError) as raised:
        limits_with(name, least - below)
    assert str(raised.value) == f'{name}: expected at least {least}, got {least - below!r}'


@pytest.mark.parametrize(('name', 'value'), [
    *((name, value) for name in [*LEAST, *SECONDS] for value in ['10', b'10', 1j, (1,)]), *((name, None) for name in LEAST)])
def test_refuse_a_value_that_is_no_number(name: str, value: Any) -> None:
    with pytest.raises(TypeError) as raised:
        limits_with(name, value)
    assert str(raised.value) == f'{name}: expected a number, got {value!r}'


@pytest.mark.parametrize('name', [*LEAST, *SECONDS])
def test_refuse_true_where_one_is_accepted(name: str) -> None:
    limits_with(name, 1)
    with pytest.raises(TypeError, match=f'^{name}: expected a number, got True$'):
        limits_with(name, True)


@pytest.mark.parametrize('name', [*LEAST, *SECONDS])
@pytest.mark.parametrize('value', [10**400, 10**5000], ids=['400 digits', '5000 digits'])
def test_refuse_a_number_beyond_floats(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f'^{name}: the number is too large$'):
        limits_with(name, value)


def test_refuse_a_list_by_its_name() -> None:
    with pytest.raises(TypeError, match='^max_length: '):
        make_limits(max_length=[1])  # type: ignore[arg-type]


@pytest.mark.parametrize('name', SECONDS)
def test_accept_seconds_or_none(name: str) -> None:
    for value in None, 0.001, 30:
        assert getattr(limits_with(name, value), name) == value


@pytest.mark.parametrize('name', SECONDS)
@pytest.mark.parametrize('value', [0, 0.0, -1, nan])
def test_refuse_seconds_that_are_not_positive(name: str, value: float) -> None:
    with pytest.raises(ValueError) as raised:
        limits_with(name, value)
    assert str(raised.value) == f'{name}: expected more than 0 seconds, or None, got {value!r}'


@pytest.mark.parametrize('endless', [inf, 2**70, 1e300, LONGEST + 1])
def test_a_time_longer_than_a_year_is_one_that_any_timer_can_run(endless: float) -> None:
    assert make_limits(ping=endless).ping is None
    assert make_limits(ping_timeout=endless).ping_timeout == inf
    assert make_limits(close_timeout=endless).close_timeout == LONGEST
    assert make_limits(ping=LONGEST, ping_timeout=LONGEST)[2:4] == (LONGEST, LONGEST)
    assert (bound_time(endless), bound_time(7)) == (LONGEST, 7)


@pytest.mark.parametrize('endless', [inf, 2**70, 1e300])
@pytest.mark.parametrize('name', ['max_length', 'max_fragments', 'max_buffered', 'max_queue'])
def test_accept_infinity(name: str, endless: float) -> None:
    limits = limits_with(name, endless)
    assert (getattr(limits, name), limits.low_water) == (endless, 65536)


@pytest.mark.parametrize('overflow', ['close', 'drop', 'block'])
def test_accept_an_overflow_policy(overflow: str) -> None:
    assert make_limits(overflow=overflow).overflow == overflow


@pytest.mark.parametrize('overflow', ['', 'Close', None, 1])
def test_refuse_an_unknown_overflow_policy(overflow: Any) -> None:
    with pytest.raises(ValueError) as raised:
        make_limits(overflow=overflow)
    assert str(raised.value) == f'overflow: expected one of close, drop, block, got {overflow!r}'


def test_refuse_an_unknown_option_by_its_name() -> None:
    with pytest.raises(TypeError, match="argument 'max_size'"):
        make_limits(max_size=1)  # type: ignore[call-arg]


def test_refuse_low_water() -> None:
    with pytest.raises(TypeError, match='low_water'):
        make_limits(low_water=1)  # type: ignore[call-arg]


@pytest.mark.proves('B2')
@pytest.mark.parametrize(('max_buffered', 'low_water'), [
    (0, 0), (3, 0), (4, 1), (262143, 65535), (262144, 65536), (262148, 65536), (2**24, 65536), (2**70, 65536), (4.5, 1),
    (inf, 65536)])
def test_have_a_low_water_mark_of_a_quarter_up_to_64_kib(max_buffered: float, low_water: int) -> None:
    assert make_limits(max_buffered=max_buffered).low_water == low_water


def test_are_shared_by_sockets_with_equal_options() -> None:
    assert make_limits(ping=30, max_queue=8) is make_limits(ping=30, max_queue=8)
