"""``python -m tests.fuzz --count N --seed S [--only I] [--json]``."""

from __future__ import annotations

import argparse
import os
import sys

# One thread each: the children are forked, and a pool of threads does not survive that.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")


def main() -> int:
    import json
    from pathlib import Path

    from .campaign import Campaign, as_json, counted

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="inputs")
    parser.add_argument("--first", type=int, default=0, help="index of the first")
    parser.add_argument("--seed", type=int, default=0, help="with the index it fixes an input")
    parser.add_argument("--only", type=int, help="make, keep and use this one input, and show it")
    parser.add_argument("--subject", default="", help="only inputs whose subject begins so")
    parser.add_argument("--log", type=Path, help="write every outcome there, a line each")
    parser.add_argument("--json", action="store_true", help="one JSON value on standard output")
    given = parser.parse_args()
    with Campaign(given.seed) as campaign:
        if given.only is not None:
            print(as_json(campaign.outcome(given.only)))
            place = Path(f"fuzz-{given.seed}-{given.only}").absolute()
            campaign.make(given.only, place)
            print(f"the input is in {place}/in", file=sys.stderr)
            return 0
        outcomes, indices = [], range(given.first, given.first + given.count)
        log = given.log.open("w") if given.log else None
        for outcome in campaign.outcomes(indices, given.subject):
            outcomes.append(outcome)
            if log:
                log.write(as_json(outcome) + "\n")
                log.flush()
            if outcome.verdict == "other" and not given.json:
                print(f"{outcome.index} {outcome.subject}, {outcome.damage}: {outcome.said}")
        figures = counted(outcomes)
    if given.json:
        print(json.dumps(figures))
    else:
        print(json.dumps({k: v for k, v in figures.items() if k != "others"}, indent=1))
    return int(figures["other"] > 0)


if __name__ == "__main__":
    raise SystemExit(main())
