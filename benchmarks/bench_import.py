"""What it costs to start: `import twofa_lab` and `twofa-lab --help`, beside a bare interpreter.

Each is a new process, run seven times in turn after one run that warms the disk cache; the median
counts, because a start is only ever slowed down by whatever else the machine does.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 7
HELP = Path(sys.executable).with_name("twofa-lab")
COMMANDS: dict[str, tuple[list[str], float | None]] = {
    # label: (command, most seconds it should take)
    "python -c pass": ([sys.executable, "-c", "pass"], None),
    "import twofa_lab": ([sys.executable, "-c", "import twofa_lab"], 0.4),
    "twofa-lab --help": ([str(HELP), "--help"], 0.6),
}


def seconds(command: list[str]) -> float:
    """Wall time of one run, in seconds."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - own commands
    return time.perf_counter() - start


def main() -> None:
    """Print the median, the range and the ratio to a bare interpreter."""
    if not HELP.exists():
        sys.exit(f"{HELP} is missing: run `make setup` first")
    times: dict[str, list[float]] = {label: [] for label in COMMANDS}
    for run in range(RUNS + 1):
        for label, (command, _) in COMMANDS.items():
            taken = seconds(command)
            if run > 0:
                times[label].append(taken)
    bare = statistics.median(times["python -c pass"])
    print(f"{'command':<18}{'median s':>10}{'min-max s':>16}{'ratio':>8}{'aim s':>8}")
    for label, (_, aim) in COMMANDS.items():
        taken = times[label]
        median = statistics.median(taken)
        spread = f"{min(taken):.3f}-{max(taken):.3f}"
        goal = "" if aim is None else f"< {aim}"
        print(f"{label:<18}{median:>10.3f}{spread:>16}{median / bare:>8.1f}{goal:>8}")


if __name__ == "__main__":
    main()
