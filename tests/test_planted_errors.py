"""Every planted error of `tests.mutation` is seen; run with ``pytest -m mutation``."""

from __future__ import annotations

import dataclasses

import pytest

from tests.mutation.catalogue import ERRORS
from tests.mutation.planted import KINDS, Planted
from tests.mutation.runner import ROOT, Copy, Unplantable, patched

LAWS = [error for error in ERRORS if error.changes_law]
BY_NAME = {"ids": lambda error: error.name}


@pytest.fixture(scope="session")
def copy(tmp_path_factory):
    with Copy(tmp_path_factory.mktemp("planted")) as made:
        yield made


def test_the_catalogue_is_well_formed():
    assert len({error.name for error in ERRORS}) == len(ERRORS)
    assert {error.kind for error in ERRORS} == set(KINDS)
    for error in ERRORS:
        for place in error.tests.split():
            assert (ROOT / place.split("::")[0]).is_file(), (error.name, place)


@pytest.mark.parametrize("error", ERRORS, **BY_NAME)
def test_the_text_of_every_error_stands_in_its_file_once(error):
    patched((ROOT / error.file).read_text(), error)


def test_a_text_that_is_gone_is_named():
    error = dataclasses.replace(ERRORS[0], old="a line that nobody wrote")
    with pytest.raises(Unplantable, match=r"occurs 0 times in .* bring the catalogue's text up"):
        patched((ROOT / error.file).read_text(), error)


def test_validation_sees_at_least_half_of_the_errors_that_change_a_law():
    """By what the catalogue says; that each script sees its errors is run below."""
    seen = [error.name for error in LAWS if error.claims]
    assert 2 * len(seen) >= len(LAWS) > 0, f"{len(seen)} of {len(LAWS)}"


@pytest.mark.mutation
@pytest.mark.parametrize("error", ERRORS, **BY_NAME)
def test_tests_see(error: Planted, copy: Copy):
    green = copy.green("tests", error.tests)
    assert green.verdict == "passed", green.output
    with copy.planted(error) as machine_code:
        found = copy.tests(error.tests, machine_code)
    assert found.verdict == "failed", found.output


@pytest.mark.mutation
@pytest.mark.parametrize("error", [error for error in LAWS if error.claims], **BY_NAME)
def test_validation_sees(error: Planted, copy: Copy):
    green = copy.green("validation", error.claims)
    assert green.verdict == "passed", green.output
    with copy.planted(error) as machine_code:
        found = copy.validation(error.claims, machine_code)
    assert found.verdict == "failed", found.output
