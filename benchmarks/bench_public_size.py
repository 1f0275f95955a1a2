"""The public data set's size: 31 million logins of 4.3 million accounts over 13 months.

One command generates them to Parquet and compares three policies with intervals; printed are its
wall time, where it goes, processor time and peak memory. Takes a minute or two and 1 GB of disk.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMAND = Path(sys.executable).with_name("twofa-lab")
ARGUMENTS = (
    "demo", "--scenario", "public-sso", "--users", "4304857", "--days", "391",
    "--set", "people.activity={median: 2.97, p90: 15.1, p99: 47.5}", "--json",
)  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [str(COMMAND), *ARGUMENTS, "--run", str(folder / "run")]
        began = time.perf_counter()
        done = subprocess.run(  # noqa: S603 - our own command
            [*command, "--out", str(folder / "page.html")],
            check=True,
            stdout=subprocess.PIPE,
        )
        wall = time.perf_counter() - began
    found = json.loads(done.stdout)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{found['policies'][0]['logins']:,} logins under {len(found['policies'])} policies")
    print(f"{wall:.1f} s: {found['seconds']}; {used.ru_utime + used.ru_stime:.1f} s of processor")
    print(f"peak memory {used.ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
