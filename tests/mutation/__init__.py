"""Planted errors: plausible numerical mistakes, each with the tests that must see it.

`catalogue` holds them, `runner` plants one in a copy of the package and runs the tests there.
``pytest -m mutation`` runs all, ``python -m tests.mutation NAME`` plants one; see docs/testing.md.
"""
