"""Counts the instructions of the hot paths under valgrind and compares them with `benches/instructions.json`.

    python benches/instructions.py             exits 1 if a path takes 0.5 % more than the baseline says
    python benches/instructions.py --update    writes the baseline

Counts depend on compiler, C library and valgrind: the baseline names them and is compared only where they are the same.
Needs `valgrind`; installs the `gungraun-runner` of the version in `Cargo.lock` under the target folder, unless
`GUNGRAUN_RUNNER` names one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "benches" / "instructions.json"
LIMIT = 0.005


def target() -> Path:
    return ROOT / os.environ.get("CARGO_TARGET_DIR", "target")


def output(*command: str, **env: str) -> str:
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def runner() -> str:
    """The runner of the very version that the benches are built with; others refuse to work."""
    if given := os.environ.get("GUNGRAUN_RUNNER"):
        return given
    lock = (ROOT / "Cargo.lock").read_text(encoding="utf-8")
    found = re.search(r'name = "gungraun"\nversion = "([^"]+)"', lock)
    if found is None:
        raise SystemExit("Cargo.lock: expected gungraun")
    home = target() / f"gungraun-runner-{found[1]}"
    binary = home / "bin" / "gungraun-runner"
    if not binary.exists():
        print(f"installing gungraun-runner {found[1]} into {home} (some minutes, once)", file=sys.stderr)
        output("cargo", "install", "--quiet", "gungraun-runner", "--version", f"={found[1]}", "--root", str(home))
    return str(binary)


def count() -> dict[str, int]:
    bench = ("cargo", "bench", "--quiet", "-p", "crossbook", "--bench", "instructions", "--", "--output-format=json")
    counts = {}
    for line in output(*bench, GUNGRAUN_RUNNER=runner()).splitlines():
        summary = json.loads(line)
        profile = next(p for p in summary["profiles"] if p["tool"] == "Callgrind")
        value = profile["data"]["total"]["metrics"]["Ir"]["values"]["new"]
        counts[f"{summary['function_name']}/{summary['id']}"] = int(value)
    return counts


def made_with() -> dict[str, str]:
    host = re.search(r"host: (\S+)", output("rustc", "-vV"))
    return {
        "rustc": output("rustc", "--version").strip(),
        "host": host[1] if host else "",
        "libc": " ".join(platform.libc_ver()),
        "valgrind": output("valgrind", "--version").strip(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="write the counts as the new baseline")
    update = parser.parse_args().update
    tools, counts = made_with(), count()
    if update:
        BASELINE.write_text(json.dumps({"with": tools, "counts": counts}, indent=1) + "\n", encoding="utf-8")
        print(f"wrote {BASELINE.relative_to(ROOT)}: {len(counts)} counts")
        return 0
    known = json.loads(BASELINE.read_text(encoding="utf-8"))
    worse = []
    print(f"{'path':<28}{'baseline':>14}{'now':>14}{'change':>10}")
    for name in sorted({*known["counts"], *counts}):
        before, now = known["counts"].get(name), counts.get(name)
        change = now / before - 1 if before and now else None
        if change is None or change > LIMIT:
            worse.append(name)
        print(f"{name:<28}{before or '-':>14}{now or '-':>14}", "new or gone" if change is None else f"{change:9.2%}")
    if tools != known["with"]:
        print("*" * 100)
        print(f"NOT COMPARED: the baseline was counted with {known['with']},\nthis is {tools}.")
        print("Count with those, or run `python benches/instructions.py --update` with these on an unchanged tree.")
        print("*" * 100)
        return 0
    if worse:
        print(f"over {LIMIT:.1%} more than the baseline, or without one: {', '.join(worse)}")
        print("if that is meant: python benches/instructions.py --update")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
