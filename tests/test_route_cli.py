"""``crossbook route``."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

import crossbook as xb
from crossbook.cli import app
from crossbook.demo import EPOCH_NS


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["route", *map(str, arguments)], catch_exceptions=False, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_routes_at_the_end_of_a_capture(small: Path) -> None:
    told = json.loads(run(small, "--side", "buy", "--size", "0.5", "--fx", "USD=1", "--json"))
    assert (told["shortfall"], told["is_optimal"], told["filled"]) == (None, True, "0.50000000")
    assert sum(leg["size"] for leg in told["legs"]) == pytest.approx(0.5)
    assert Decimal(told["total"]) == Decimal(told["notional"]) + Decimal(told["cost"])


def test_the_command_shows_a_table_and_the_proof(small: Path) -> None:
    table = run(small, "--side", "sell", "--notional", "1000", "--max-venues", "1", "--max", "spot=0.5")
    assert "brings" in table
    assert "optimal" in table
    assert len(re.findall(r"│ (spot|usdm) ", table)) == 1, "one venue"


def test_the_command_routes_at_a_time(small: Path) -> None:
    early, late = (
        json.loads(run(small, "--side", "buy", "--size", "0.1", "--json", "--at", EPOCH_NS + seconds * 10**9))
        for seconds in (5, 15)
    )
    assert early["time"] < late["time"]
    assert early["total"] != late["total"]


def test_what_cannot_be_routed_is_shown_as_far_as_it_goes_and_fails(small: Path) -> None:
    with pytest.raises(xb.RouteError, match=r"expected to trade 1e\+06, found .*: liquidity"):
        run(small, "--side", "buy", "--size", "1000000", "--json")
    with pytest.raises(xb.DataError, match="expected either --size or --notional"):
        run(small, "--side", "buy")
    with pytest.raises(xb.DataError, match="size 'usdm': expected NAME=SIZE"):
        run(small, "--side", "buy", "--size", "1", "--min", "usdm")
